/* What most operator families need: type checks, integers from an attribute or an input, broadcasting, index iteration. */
#ifndef OW_OPS_OP_HELP_H
#define OW_OPS_OP_HELP_H

#include "graph/op.h"

/* ---- infer --------------------------------------------------------------------------------------------------------------- */

#define OW_TYPES_FLOAT8                                                                      \
  (OW_BIT(ONWARD_FLOAT8E4M3FN) | OW_BIT(ONWARD_FLOAT8E4M3FNUZ) | OW_BIT(ONWARD_FLOAT8E5M2) | \
   OW_BIT(ONWARD_FLOAT8E5M2FNUZ))
#define OW_TYPES_BELOW_BYTE \
  (OW_BIT(ONWARD_UINT4) | OW_BIT(ONWARD_INT4) | OW_BIT(ONWARD_UINT2) | OW_BIT(ONWARD_INT2) | OW_BIT(ONWARD_FLOAT4E2M1))
/* Everything whose elements are whole bytes: what data movement takes. Zeroed memory is a tensor of empty strings (ow_text_at). */
#define OW_TYPES_MOVABLE                                                                                             \
  (OW_TYPES_NUMERIC | OW_TYPES_FLOAT8 | OW_BIT(ONWARD_FLOAT8E8M0) | OW_BIT(ONWARD_BOOL) | OW_BIT(ONWARD_COMPLEX64) | \
   OW_BIT(ONWARD_COMPLEX128) | OW_BIT(ONWARD_STRING))
/* What may change its shape without moving. */
#define OW_TYPES_VIEWABLE (OW_TYPES_MOVABLE | OW_TYPES_BELOW_BYTE)
#define OW_TYPES_INDEX (OW_BIT(ONWARD_INT32) | OW_BIT(ONWARD_INT64))

/* MODEL unless input is left out or one of types. UNSUPPORTED where data only moves (types holds OW_TYPES_MOVABLE): the
 * specification allows any type there. */
onward_status ow_infer_types(ow_infer *c, size_t input, uint32_t types);
/* Inputs from..to (inclusive, those that are there) have one element type. */
onward_status ow_infer_alike(ow_infer *c, size_t from, size_t to);
static inline bool ow_infer_ranked(const ow_infer *c, size_t input) { return c->in[input].shape.rank >= 0; }
/* MODEL unless the rank is not known or in [low, high]. */
onward_status ow_infer_rank(ow_infer *c, size_t input, int32_t low, int32_t high);

typedef enum ow_given {
  OW_GIVEN_NOT,    /* neither attribute nor input */
  OW_GIVEN_VALUES, /* values and count are set */
  OW_GIVEN_LATER /* an input whose elements are not plain numbers yet; *count is their number, or SIZE_MAX when not known */
} ow_given;

/* Integers that older versions have as an attribute and newer ones as an input. attr may be NULL. MODEL above max elements. */
onward_status ow_infer_ints_given(ow_infer *c, const char *attr, size_t input, int64_t *values, size_t max,
                                  size_t *count, ow_given *given);
/* The same for a kernel: the count, or -1 when neither is given. infer has checked that at most max are there. */
int64_t ow_args_ints(const ow_args *a, const char *attr, size_t input, int64_t *values, size_t max);
/* values[count] as axes of rank: made non-negative in place; set[axis] says which. MODEL when outside or given twice. */
onward_status ow_infer_axes(ow_infer *c, int64_t *values, size_t count, int32_t rank, bool set[ONWARD_MAX_RANK]);
/* An axis that infer has checked. */
static inline int32_t ow_axis(int64_t axis, int32_t rank) { return (int32_t)(axis < 0 ? axis + rank : axis); }

/* *holds: a >= b is proved, or assumed where that is allowed, and then checked when shapes are bound. */
onward_status ow_infer_at_least(ow_infer *c, ow_dim a, ow_dim b, const char *what, bool *holds);

/* Output 0 gets the broadcast of all inputs that are there. */
onward_status ow_infer_broadcast_all(ow_infer *c, onward_dtype dtype);
/* inputs 0.. have one type out of types, which output 0 gets with the broadcast shape */
onward_status ow_infer_elementwise(ow_infer *c, uint32_t types);

/* in[i]: one element of each input. false: not known. */
typedef bool (*ow_elem_fn)(const ow_infer *c, const ow_dim *in, ow_dim *out);
/* When all inputs have elements and output 0 (already set) is small: its elements, broadcast. */
onward_status ow_infer_map_elems(ow_infer *c, ow_elem_fn fn);
/* Output 0 (already set) is small and all of an input's elements are known: out[index] = in[base + sum index[d] * strides[d]]. */
onward_status ow_infer_strided_elems(ow_infer *c, size_t input, int64_t base, const int64_t *strides);
/* Number of elements when shape is constant and small enough to follow (OW_MAX_ELEMS); -1 otherwise. */
int64_t ow_small_count(const ow_shape *shape);
/* Room for elements of an output; NULL without memory. */
ow_dim *ow_infer_alloc_elems(ow_infer *c, size_t count);
/* Wraps a computed value to the element type, as the kernel would: 300 in uint8 is 44. */
int64_t ow_wrap_int(onward_dtype dtype, int64_t value);

/* ---- index iteration ----------------------------------------------------------------------------------------------------- */

#define OW_ND_OPERANDS 4
#define OW_ND_RANK (2 * ONWARD_MAX_RANK)

/* A loop nest over dims with one element stride per operand and dim. Adjacent dims that every operand walks evenly are
 * joined, dims of extent 1 dropped; rank is at least 1 then, and the last dim is the inner loop. */
typedef struct ow_nd {
  int32_t rank, operands;
  int64_t dims[OW_ND_RANK];
  int64_t strides[OW_ND_OPERANDS][OW_ND_RANK];
  int64_t rows;  /* product of all dims but the last; 0 when any dim is 0 */
  int64_t inner; /* the last dim */
} ow_nd;

/* Operand 0 is out, dense; operands 1.. are in[0..count-1] broadcast to it (a NULL entry gets strides of 0). */
void ow_nd_broadcast(ow_nd *nd, const onward_tensor *out, const onward_tensor *const *in, size_t count);
/* dims and strides of the given operands are filled in by the caller, rank too: join and count. */
void ow_nd_finish(ow_nd *nd);

/* Walks rows in order. offset[k]: element offset of operand k at the row's start. */
typedef struct ow_nd_at {
  int64_t index[OW_ND_RANK];
  int64_t offset[OW_ND_OPERANDS];
} ow_nd_at;
void ow_nd_seek(const ow_nd *nd, ow_nd_at *at, int64_t row);
void ow_nd_next(const ow_nd *nd, ow_nd_at *at);

/* Dense row-major element strides. */
void ow_strides(int32_t rank, const int64_t *dims, int64_t *strides);

/* Copies elements of `size` bytes: dst gets, at its strides, what src has at its own. Dense runs go by memcpy, a transposition
 * in tiles; large copies use threads. The ranges must not overlap. At most OW_ND_RANK dims. */
void ow_copy_strided(void *dst, const int64_t *dst_strides, const void *src, const int64_t *src_strides, int32_t rank,
                     const int64_t *dims, size_t size, int threads);

/* Splits [0, count) into ranges of about `grain` and runs fn on them, in parallel when there are several. */
typedef void (*ow_range_fn)(void *context, int64_t from, int64_t to);
void ow_parallel_ranges(int threads, int64_t count, int64_t grain, ow_range_fn fn, void *context);

/* ---- data errors --------------------------------------------------------------------------------------------------------- */

/* "input 1 'ids': index 51200 at [0,7] outside [-50257,50256]" */
onward_status ow_fail_index(const ow_args *a, size_t input, int64_t position, int64_t value, int64_t low, int64_t high,
                            onward_error *err);
/* Every element of an int32 or int64 input lies in [low, high]; otherwise DATA as above. */
onward_status ow_check_indices(const ow_args *a, size_t input, int64_t low, int64_t high, onward_error *err);
/* "[0,7]": the position of a flat index */
const char *ow_position_text(const onward_tensor *t, int64_t position, char *buffer, size_t size);
/* Element i of an int32 or int64 tensor. */
static inline int64_t ow_index_at(const onward_tensor *t, int64_t i) {
  if (t->dtype == ONWARD_INT32) {
    int32_t v;
    memcpy(&v, (const char *)t->data + i * 4, 4);
    return v;
  }
  int64_t v;
  memcpy(&v, (const char *)t->data + i * 8, 8);
  return v;
}
static inline int64_t ow_count(const onward_tensor *t) { return ow_dims_product(t->dims, 0, t->rank); }
/* An operand by slot; NULL when it is left out or not wanted. */
static inline const onward_tensor *ow_args_in(const ow_args *a, size_t slot) {
  return slot < a->in_count ? a->in[slot] : NULL;
}
static inline onward_tensor *ow_args_out(const ow_args *a, size_t slot) {
  return slot < a->out_count ? a->out[slot] : NULL;
}
/* The value's name for messages, "" when it has none. */
const char *ow_input_name(const ow_args *a, size_t input);

/* ---- element types in code ----------------------------------------------------------------------------------------------- */

static inline bool ow_is_float(onward_dtype dtype) { return dtype < 32 && (OW_TYPES_FLOAT & OW_BIT(dtype)); }
static inline bool ow_is_int(onward_dtype dtype) { return dtype < 32 && (OW_TYPES_INT & OW_BIT(dtype)); }

#endif
