/* MatMulNBits: its inputs and how its weights lie in memory. */
#ifndef OW_OPS_MATMUL_NBITS_H
#define OW_OPS_MATMUL_NBITS_H

#include "graph/op.h"

enum { OW_NBITS_A, OW_NBITS_B, OW_NBITS_SCALES, OW_NBITS_ZEROS, OW_NBITS_ORDER, OW_NBITS_BIAS };

typedef struct ow_nbits {
  int64_t k, n, bits, block, blocks, row_bytes; /* blocks and bytes of one row of b */
} ow_nbits;

/* false: an attribute is out of range */
bool ow_nbits_read(const ow_node *node, ow_nbits *s);

/* Number i of a row, packed from the low bits up. */
static inline int64_t ow_nbits_at(const void *bytes, int64_t bits, int64_t i) {
  const int64_t bit = i * bits;
  return ((const uint8_t *)bytes)[bit / 8] >> bit % 8 & ((1 << bits) - 1);
}

#endif
