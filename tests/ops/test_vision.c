/* GridSample, NonMaxSuppression, RoiAlign, Det, the losses and the signal operators: what the public cases leave open. */
#include "ops/op_case.h"

#define F32 ONWARD_FLOAT32
#define I64 ONWARD_INT64

static void grid(const char *mode, const char *padding, double x, double y, double want) {
  op_case t = op_begin("", "GridSample", 16);
  op_in(&t, F32, DIMS(1, 1, 2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(1, 1, 1, 2), VALUES(x, y));
  op_set_string(&t, "mode", mode);
  op_set_string(&t, "padding_mode", padding);
  op_expect(&t, 0, F32, DIMS(1, 1, 1, 1), VALUES(want));
  op_end(&t);
}

static void test_grid_sample(void **state) {
  (void)state;
  grid("bilinear", "zeros", 0, 0, 2.5);
  grid("bilinear", "zeros", -1, -1, 0.25); /* a corner: three quarters lie outside */
  grid("bilinear", "border", -1, -1, 1);
  grid("bilinear", "border", 1e30, 0, 3);
  grid("nearest", "zeros", 0.5, -0.5, 2);
  grid("nearest", "border", NAN, 9, 3);
  grid("nearest", "reflection", -2.5, -0.5, 2); /* folded at -1: 0.5 */
  grid("nearest", "zeros", 1e30, 0, 0);
}

static op_case two_boxes(double most, double iou) {
  op_case t = op_begin("", "NonMaxSuppression", 11); /* the second covers half of the first */
  op_in(&t, F32, DIMS(1, 2, 4), VALUES(0, 0, 1, 2, 1, 1, 0, 0));
  op_in(&t, F32, DIMS(1, 1, 2), VALUES(0.5, 0.75));
  op_in(&t, I64, DIMS(1), VALUES(most));
  op_in(&t, F32, DIMS(1), VALUES(iou));
  return t;
}

static void test_non_max_suppression(void **state) {
  (void)state;
  op_case t = two_boxes(2, 0.25);
  op_expect(&t, 0, I64, DIMS(1, 3), VALUES(0, 0, 1));
  op_end(&t);

  t = two_boxes(2, 0.75);
  op_expect(&t, 0, I64, DIMS(2, 3), VALUES(0, 0, 1, 0, 0, 0));
  op_end(&t);

  t = two_boxes(2, 0.75);
  op_in(&t, F32, DIMS(1), VALUES(0.5)); /* only above */
  op_expect(&t, 0, I64, DIMS(1, 3), VALUES(0, 0, 1));
  op_end(&t);

  t = two_boxes(-5, 0.75);
  op_expect(&t, 0, I64, DIMS(0, 3), NO_VALUES);
  op_end(&t);

  t = op_begin("", "NonMaxSuppression", 11);
  op_in(&t, F32, DIMS(1, 2, 4), VALUES(0, 0, 1, 2, 1, 1, 0, 0));
  op_in(&t, F32, DIMS(1, 1, 3), VALUES(1, 2, 3));
  op_expect_error(&t, ONWARD_MODEL, "number of boxes");
  op_end(&t);
}

static void test_roi_align(void **state) {
  (void)state;
  op_case t = op_begin("", "RoiAlign", 16); /* one bin over the middle of four pixels */
  op_in(&t, F32, DIMS(1, 1, 2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(1, 4), VALUES(0, 0, 2, 2));
  op_in(&t, I64, DIMS(1), VALUES(0));
  op_set_int(&t, "sampling_ratio", 1);
  op_expect(&t, 0, F32, DIMS(1, 1, 1, 1), VALUES(2.5));
  op_end(&t);

  t = op_begin("", "RoiAlign", 16);
  op_in(&t, F32, DIMS(1, 1, 2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(1, 4), VALUES(0, 0, 2, 2));
  op_in(&t, I64, DIMS(1), VALUES(1));
  op_expect_error(&t, ONWARD_DATA, "1");
  op_end(&t);

  t = op_begin("", "RoiAlign", 16);
  op_in(&t, F32, DIMS(1, 1, 2, 2), VALUES(1, 2, 3, 4));
  op_in(&t, F32, DIMS(1, 4), VALUES(0, 0, 1e30, 2));
  op_in(&t, I64, DIMS(1), VALUES(0));
  op_expect_error(&t, ONWARD_DATA, "extent");
  op_end(&t);
}

static void test_det(void **state) {
  (void)state;
  op_case t = op_begin("", "Det", 11); /* the first pivot is zero; the second matrix is singular */
  op_in(&t, F32, DIMS(2, 2, 2), VALUES(0, 2, 3, 4, 1, 2, 2, 4));
  op_expect(&t, 0, F32, DIMS(2), VALUES(-6, 0));
  op_end(&t);

  t = op_begin("", "Det", 11);
  op_in(&t, F32, DIMS(0, 0), NO_VALUES);
  op_expect(&t, 0, F32, SCALAR, VALUES(1));
  op_end(&t);

  t = op_begin("", "Det", 11);
  op_in(&t, F32, DIMS(1, 2), VALUES(1, 2));
  op_expect_error(&t, ONWARD_MODEL, "rows and columns");
  op_end(&t);
}

static op_case entropy(double label) {
  op_case t = op_begin("", "SoftmaxCrossEntropyLoss", 13);
  op_in(&t, F32, DIMS(2, 2), VALUES(0, 0, 0, 0));
  op_in(&t, I64, DIMS(2), VALUES(1, label));
  return t;
}

static void test_losses(void **state) {
  (void)state;
  const double ln2 = 0.6931471805599453;
  op_case t = entropy(0);
  op_expect(&t, 0, F32, SCALAR, VALUES(ln2));
  op_end(&t);

  t = entropy(-7); /* ignored: not in the mean */
  op_set_int(&t, "ignore_index", -7);
  op_expect(&t, 0, F32, SCALAR, VALUES(ln2));
  op_end(&t);

  t = entropy(-7);
  op_set_int(&t, "ignore_index", -7);
  op_set_string(&t, "reduction", "none");
  op_expect(&t, 0, F32, DIMS(2), VALUES(ln2, 0));
  op_end(&t);

  t = entropy(0); /* weighted mean of equal losses */
  op_in(&t, F32, DIMS(2), VALUES(1, 3));
  op_set_string(&t, "reduction", "sum");
  op_expect(&t, 0, F32, SCALAR, VALUES(4 * ln2));
  op_end(&t);

  t = entropy(2);
  op_expect_error(&t, ONWARD_DATA, "2");
  op_end(&t);
}

static op_case dft(bool complex) {
  op_case t = op_begin("", "DFT", 17);
  if (complex)
    op_in(&t, F32, DIMS(1, 4, 2), VALUES(10, 0, -2, 2, -2, 0, -2, -2));
  else
    op_in(&t, F32, DIMS(1, 4, 1), VALUES(1, 2, 3, 4));
  return t;
}

static void test_dft(void **state) {
  (void)state;
  op_case t = dft(false);
  op_expect(&t, 0, F32, DIMS(1, 4, 2), VALUES(10, 0, -2, 2, -2, 0, -2, -2));
  op_end(&t);

  t = dft(false);
  op_set_int(&t, "onesided", 1);
  op_expect(&t, 0, F32, DIMS(1, 3, 2), VALUES(10, 0, -2, 2, -2, 0));
  op_end(&t);

  t = dft(true);
  op_set_int(&t, "inverse", 1);
  op_expect(&t, 0, F32, DIMS(1, 4, 2), VALUES(1, 0, 2, 0, 3, 0, 4, 0));
  op_end(&t);

  t = dft(false); /* cut to two */
  op_in(&t, I64, SCALAR, VALUES(2));
  op_expect(&t, 0, F32, DIMS(1, 2, 2), VALUES(3, 0, -1, 0));
  op_end(&t);

  t = dft(false); /* one zero added: the fifth roots of unity */
  op_in(&t, I64, SCALAR, VALUES(5));
  op_set_int(&t, "onesided", 1);
  op_expect(&t, 0, F32, DIMS(1, 3, 2),
            VALUES(10, 0, -4.045084971874737, -1.3143277802978344, 1.545084971874738, -2.1266270208800995));
  op_end(&t);

  t = dft(false);
  op_in(&t, I64, SCALAR, VALUES(0));
  op_expect_error(&t, ONWARD_DATA, "dft_length is 0");
  op_end(&t);

  t = dft(false);
  op_set_int(&t, "axis", 2);
  op_expect_error(&t, ONWARD_MODEL, "last dim");
  op_end(&t);
}

static void test_stft(void **state) {
  (void)state;
  op_case t = op_begin("", "STFT", 17); /* frames (1,2) (3,4); window (1, 10) */
  op_in(&t, F32, DIMS(1, 5, 1), VALUES(1, 2, 3, 4, 5));
  op_in(&t, I64, SCALAR, VALUES(2));
  op_in(&t, F32, DIMS(2), VALUES(1, 10));
  op_expect(&t, 0, F32, DIMS(1, 2, 2, 2), VALUES(21, 0, -19, 0, 43, 0, -37, 0));
  op_end(&t);

  t = op_begin("", "STFT", 17);
  op_in(&t, F32, DIMS(1, 2, 1), VALUES(1, 2));
  op_in(&t, I64, SCALAR, VALUES(1));
  op_in_none(&t);
  op_in(&t, I64, SCALAR, VALUES(3));
  op_expect_error(&t, ONWARD_DATA, "longer than the signal");
  op_end(&t);
}

static void test_windows(void **state) {
  (void)state;
  op_case t = op_begin("", "HannWindow", 17);
  op_in(&t, I64, SCALAR, VALUES(4));
  op_expect(&t, 0, F32, DIMS(4), VALUES(0, 0.5, 1, 0.5));
  op_end(&t);

  t = op_begin("", "HannWindow", 17);
  op_in(&t, I64, SCALAR, VALUES(3));
  op_set_int(&t, "periodic", 0);
  op_expect(&t, 0, F32, DIMS(3), VALUES(0, 1, 0));
  op_end(&t);

  t = op_begin("", "BlackmanWindow", 17);
  op_in(&t, I64, SCALAR, VALUES(2));
  op_expect(&t, 0, F32, DIMS(2), VALUES(0, 1));
  op_end(&t);

  t = op_begin("", "HammingWindow", 17);
  op_in(&t, I64, SCALAR, VALUES(-4));
  op_expect_error(&t, ONWARD_DATA, "size is -4");
  op_end(&t);
}

static void test_crop(void **state) {
  (void)state;
  op_case t = op_begin("", "CenterCropPad", 18); /* 5 to 2: one and a half off on the left is one */
  op_in(&t, ONWARD_FLOAT32, DIMS(1, 5), VALUES(1, 2, 3, 4, 5));
  op_in(&t, ONWARD_INT64, DIMS(2), VALUES(4, 2));
  op_expect(&t, 0, ONWARD_FLOAT32, DIMS(4, 2), VALUES(0, 0, 2, 3, 0, 0, 0, 0));
  op_end(&t);
  t = op_begin("", "CenterCropPad", 18);
  op_in(&t, ONWARD_UINT8, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(1));
  op_set_ints(&t, "axes", DIMS(-1));
  op_expect(&t, 0, ONWARD_UINT8, DIMS(2, 1), VALUES(2, 5));
  op_end(&t);
  t = op_begin("", "CenterCropPad", 18);
  op_in(&t, ONWARD_UINT8, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(1));
  op_expect_error(&t, ONWARD_MODEL, "'shape' has 1 elements for 2 axes");
  op_end(&t);
}

/* Blocks of 2 x 2 over 3 x 3 with stride 1: the middle gets four, the corners one. */
static void test_col2im(void **state) {
  (void)state;
  op_case t = op_begin("", "Col2Im", 18);
  op_in(&t, ONWARD_FLOAT32, DIMS(1, 4, 4), VALUES(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1));
  op_in(&t, ONWARD_INT64, DIMS(2), VALUES(3, 3));
  op_in(&t, ONWARD_INT64, DIMS(2), VALUES(2, 2));
  op_expect(&t, 0, ONWARD_FLOAT32, DIMS(1, 1, 3, 3), VALUES(1, 2, 1, 2, 4, 2, 1, 2, 1));
  op_end(&t);
  t = op_begin("", "Col2Im", 18); /* one dim, dilated, padded: taps 0 and 2 of a line of 3 with a pad of 1 */
  op_in(&t, ONWARD_INT32, DIMS(1, 2, 3), VALUES(1, 2, 3, 10, 20, 30));
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(3));
  op_in(&t, ONWARD_INT64, DIMS(1), VALUES(2));
  op_set_ints(&t, "dilations", DIMS(2));
  op_set_ints(&t, "pads", DIMS(1, 1));
  op_expect(&t, 0, ONWARD_INT32, DIMS(1, 1, 3), VALUES(2, 13, 20));
  op_end(&t);
  t = op_begin("", "Col2Im", 18);
  op_in(&t, ONWARD_FLOAT32, DIMS(1, 4, 3), VALUES(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1));
  op_in(&t, ONWARD_INT64, DIMS(2), VALUES(3, 3));
  op_in(&t, ONWARD_INT64, DIMS(2), VALUES(2, 2));
  op_expect_error(&t, ONWARD_MODEL, "columns and places of the block");
  op_end(&t);
}

static void test_affine_grid(void **state) {
  (void)state;
  for (int align = 0; align < 2; align++) { /* x is doubled, y shifted by 1 */
    op_case t = op_begin("", "AffineGrid", 20);
    op_in(&t, ONWARD_FLOAT32, DIMS(1, 2, 3), VALUES(2, 0, 0, 0, 1, 1));
    op_in(&t, ONWARD_INT64, DIMS(4), VALUES(1, 1, 2, 2));
    op_set_int(&t, "align_corners", align);
    op_expect(&t, 0, ONWARD_FLOAT32, DIMS(1, 2, 2, 2),
              align ? VALUES(-2, 0, 2, 0, -2, 2, 2, 2) : VALUES(-1, 0.5, 1, 0.5, -1, 1.5, 1, 1.5));
    op_end(&t);
  }
}

/* A 2 x 2 kernel of ones; the first tap is moved half a pixel to the right in the second case, and masked by half in the third. */
static void test_deform_conv(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    op_case t = op_begin("", "DeformConv", 19);
    op_in(&t, ONWARD_FLOAT32, DIMS(1, 1, 2, 3), VALUES(0, 1, 2, 3, 4, 5));
    op_in(&t, ONWARD_FLOAT32, DIMS(1, 1, 2, 2), VALUES(1, 1, 1, 1));
    op_in(&t, ONWARD_FLOAT32, DIMS(1, 8, 1, 2),
          i == 0 ? VALUES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
                 : VALUES(0, 0, 0.5, 0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    op_in(&t, ONWARD_FLOAT32, DIMS(1), VALUES(100));
    if (i == 2)
      op_in(&t, ONWARD_FLOAT32, DIMS(1, 4, 1, 2), VALUES(0.5, 0.5, 1, 1, 1, 1, 1, 1));
    op_expect(&t, 0, ONWARD_FLOAT32, DIMS(1, 1, 1, 2),
              i == 0   ? VALUES(108, 112)
              : i == 1 ? VALUES(108.5, 112.5)
                       : VALUES(108.25, 111.75));
    op_end(&t);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_grid_sample), cmocka_unit_test(test_non_max_suppression),
                                     cmocka_unit_test(test_roi_align),   cmocka_unit_test(test_det),
                                     cmocka_unit_test(test_losses),      cmocka_unit_test(test_dft),
                                     cmocka_unit_test(test_stft),        cmocka_unit_test(test_windows),
                                     cmocka_unit_test(test_crop),        cmocka_unit_test(test_col2im),
                                     cmocka_unit_test(test_affine_grid), cmocka_unit_test(test_deform_conv)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
