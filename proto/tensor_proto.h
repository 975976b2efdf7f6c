/* TensorProto and SparseTensorProto to constants. */
#ifndef OW_PROTO_TENSOR_PROTO_H
#define OW_PROTO_TENSOR_PROTO_H

#include "onnx.pb-c.h"
#include "proto/source.h"
#include "proto/wire.h"

/* Raw bytes up to this size are copied to aligned memory; larger ones stay where they are. */
#define OW_COPY_BYTES_MAX ((size_t)64 << 10)

typedef struct ow_tensors {
  const ow_wire *wire;
  ow_source *source; /* NULL: no external data */
  bool mapped;       /* the bytes of wire are a mapped file */
  ow_arena *weights;
  onward_limits limits;
  uint64_t made_bytes;   /* of constants made in weights, and of ranges of external data */
  uint64_t copied_bytes; /* of these, copies of raw bytes */
  uint64_t sparse_bytes; /* of dense forms of sparse tensors */
  const ow_const **made; /* by place in the file: a tensor of a function's body is made once */
} ow_tensors;

/* Errors name the tensor and its byte in the file. */
onward_status ow_tensor_import(ow_tensors *tensors, const OwOnnx__TensorProto *t, const ow_const **out,
                               onward_error *err);
/* As a dense tensor. */
onward_status ow_sparse_import(ow_tensors *tensors, const OwOnnx__SparseTensorProto *t, const ow_const **out,
                               onward_error *err);

/* One tensor by itself: its description without data, and the bytes that its data takes, strings with their text. */
onward_status ow_tensor_proto_measure(const ow_wire *wire, const OwOnnx__TensorProto *t, onward_tensor *tensor,
                                      size_t *bytes, onward_error *err);
/* The data, into as many bytes. */
onward_status ow_tensor_proto_fill(const ow_wire *wire, const OwOnnx__TensorProto *t, void *data, onward_error *err);

/* MODEL or UNSUPPORTED when number is no element type that Onward has. */
onward_status ow_dtype_check(int32_t number, onward_dtype *dtype, onward_error *err);

#endif
