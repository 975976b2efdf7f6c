/* Changes of a model that keep it a protobuf message: unpack, change one to three fields, pack. protobuf-c's descriptors say what
 * a message holds, so nothing here knows ONNX but the names of operators. */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "onnx.pb-c.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out,
                                 size_t most, unsigned seed);

static uint64_t state;

static uint32_t pick(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 32) % below;
}

/* A field of a message; of kind NULL any field, otherwise that one. Each is as likely as any other. */
typedef struct place {
  ProtobufCMessage *message;
  const ProtobufCFieldDescriptor *field;
  const ProtobufCFieldDescriptor *kind;
  uint32_t seen;
} place;

static void *at(const ProtobufCMessage *m, unsigned offset) { return (char *)(uintptr_t)m + offset; }
static size_t *count_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f) {
  return at(m, f->quantifier_offset);
}

static void walk(ProtobufCMessage *m, place *p) {
  for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
    const ProtobufCFieldDescriptor *const f = &m->descriptor->fields[i];
    const size_t count = f->label == PROTOBUF_C_LABEL_REPEATED ? *count_of(m, f) : 1;
    const bool there = f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING
                           ? count > 0 && (f->label == PROTOBUF_C_LABEL_REPEATED || *(void **)at(m, f->offset))
                           : count > 0;
    /* What is absent is chosen now and then: most fields are absent in most messages. */
    if ((p->kind ? f == p->kind && there : there || pick(16) == 0) && pick(++p->seen) == 0) {
      p->message = m;
      p->field = f;
    }
    if (f->type != PROTOBUF_C_TYPE_MESSAGE || !there)
      continue;
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
      for (size_t n = 0; n < count; n++)
        walk((*(ProtobufCMessage ***)at(m, f->offset))[n], p);
    else
      walk(*(ProtobufCMessage **)at(m, f->offset), p);
  }
}

static int64_t hostile_int(int64_t old) {
  static const int64_t values[] = {0,         1,         -1,        2,         3,         4,         7,
                                   8,         16,        64,        255,       65535,     65536,     INT32_MAX,
                                   INT32_MIN, INT64_MAX, INT64_MIN, 1LL << 31, 1LL << 32, 1LL << 62, -2};
  switch (pick(6)) {
    case 0: return (int64_t)((uint64_t)old + 1);
    case 1: return (int64_t)((uint64_t)old - 1);
    case 2: return (int64_t)(0 - (uint64_t)old);
    case 3: return (int64_t)pick(32);
    default: return values[pick(sizeof values / sizeof *values)];
  }
}

static double hostile_float(double old) {
  const double values[] = {
      0, -0.0, 1, -1, 0.5, 1e-5, 1e30, FLT_MAX, FLT_MIN, (double)NAN, (double)INFINITY, -(double)INFINITY};
  return pick(4) == 0 ? old * 2 : values[pick(sizeof values / sizeof *values)];
}

static void *copy_bytes(const void *from, size_t size, size_t room) {
  char *const copy = malloc(room);
  if (!copy)
    abort();
  memset(copy, 0, room);
  if (size)
    memcpy(copy, from, size);
  return copy;
}

static char *some_text(ProtobufCMessage *donor, const ProtobufCFieldDescriptor *f, const char *old) {
  static const char *const operators[] = {
#define OPERATOR(name) #name,
#include "fuzz/op_names.def"
#undef OPERATOR
  };
  const char *text = old ? old : "";
  if (strcmp(f->name, "op_type") == 0 && pick(2) == 0) {
    text = operators[pick(sizeof operators / sizeof *operators)];
  } else if (pick(8) == 0) {
    text = pick(2) ? "" : "ai.onnx";
  } else { /* an input becomes some value's name: edges of the graph move */
    place p = {.kind = f};
    if (pick(3) == 0)
      for (unsigned i = 0; i < ow_onnx__node_proto__descriptor.n_fields; i++)
        if (strcmp(ow_onnx__node_proto__descriptor.fields[i].name, pick(2) ? "input" : "output") == 0)
          p.kind = &ow_onnx__node_proto__descriptor.fields[i];
    walk(donor, &p);
    if (p.message && p.field->label == PROTOBUF_C_LABEL_REPEATED)
      text = (*(char ***)at(p.message, p.field->offset))[pick((uint32_t)*count_of(p.message, p.field))];
    else if (p.message)
      text = *(char **)at(p.message, p.field->offset);
  }
  return copy_bytes(text, strlen(text), strlen(text) + 1);
}

static ProtobufCMessage *copy_message(const ProtobufCMessage *m) {
  const size_t size = protobuf_c_message_get_packed_size(m);
  uint8_t *const bytes = copy_bytes(NULL, 0, size + 1);
  (void)protobuf_c_message_pack(m, bytes);
  ProtobufCMessage *const copy = protobuf_c_message_unpack(m->descriptor, NULL, size, bytes);
  free(bytes);
  return copy;
}

/* A copy of some message of that kind in the donor, or an empty one. */
static ProtobufCMessage *some_message(ProtobufCMessage *donor, const ProtobufCFieldDescriptor *f) {
  place p = {.kind = f};
  if (pick(8) != 0)
    walk(donor, &p);
  if (!p.message)
    return protobuf_c_message_unpack(f->descriptor, NULL, 0, NULL);
  if (f->label != PROTOBUF_C_LABEL_REPEATED)
    return copy_message(*(ProtobufCMessage **)at(p.message, f->offset));
  return copy_message((*(ProtobufCMessage ***)at(p.message, f->offset))[pick((uint32_t)*count_of(p.message, f))]);
}

static size_t size_of(ProtobufCType type) {
  switch ((int)type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FLOAT: return 4;
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    default: return 8; /* 64-bit numbers, doubles, pointers */
  }
}

static void change_bytes(ProtobufCBinaryData *b) {
  const size_t size = b->len;
  size_t want = size;
  switch (pick(6)) {
    case 0: want = 0; break;
    case 1: want = size / 2; break;
    case 2: want = size + 8; break;
    case 3: want = size ? size - 1 : 1; break;
    default: break;
  }
  uint8_t *const bytes = copy_bytes(b->data, size < want ? size : want, want + 1);
  if (want == size && size >= 8) {
    const int64_t value = hostile_int(0);
    memcpy(bytes + pick((uint32_t)(size / 8)) * 8, &value, sizeof value);
  } else if (want > 0) {
    bytes[pick((uint32_t)want)] = (uint8_t)pick(256);
  }
  free(b->data);
  *b = (ProtobufCBinaryData){want, bytes};
}

/* One value: what was there is let go. */
static void change_value(void *value, const ProtobufCFieldDescriptor *f, ProtobufCMessage *donor) {
  switch ((int)f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32: *(int32_t *)value = (int32_t)hostile_int(*(int32_t *)value); break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: *(int64_t *)value = hostile_int(*(int64_t *)value); break;
    case PROTOBUF_C_TYPE_FLOAT: *(float *)value = (float)hostile_float((double)*(float *)value); break;
    case PROTOBUF_C_TYPE_DOUBLE: *(double *)value = hostile_float(*(double *)value); break;
    case PROTOBUF_C_TYPE_BYTES: change_bytes(value); break;
    case PROTOBUF_C_TYPE_STRING: {
      char *const text = some_text(donor, f, *(char **)value);
      free(*(char **)value);
      *(char **)value = text;
      break;
    }
    case PROTOBUF_C_TYPE_MESSAGE: {
      ProtobufCMessage *const fresh = some_message(donor, f);
      if (*(ProtobufCMessage **)value)
        protobuf_c_message_free_unpacked(*(ProtobufCMessage **)value, NULL);
      *(ProtobufCMessage **)value = fresh;
      break;
    }
    default: break;
  }
}

static void free_value(void *value, const ProtobufCFieldDescriptor *f) {
  if (f->type == PROTOBUF_C_TYPE_MESSAGE)
    protobuf_c_message_free_unpacked(*(ProtobufCMessage **)value, NULL);
  else if (f->type == PROTOBUF_C_TYPE_STRING)
    free(*(char **)value);
  else if (f->type == PROTOBUF_C_TYPE_BYTES)
    free(((ProtobufCBinaryData *)value)->data);
}

static void change_list(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, ProtobufCMessage *donor) {
  size_t *const count = count_of(m, f);
  char **const list = at(m, f->offset);
  const size_t item = size_of(f->type);
  const uint32_t way = *count ? pick(5) : 0;
  if (way <= 1) { /* one more, at some place */
    char *const grown = copy_bytes(*list, *count * item, (*count + 1) * item);
    const size_t to = pick((uint32_t)*count + 1);
    memmove(grown + (to + 1) * item, grown + to * item, (*count - to) * item);
    memset(grown + to * item, 0, item);
    change_value(grown + to * item, f, donor);
    free(*list);
    *list = grown;
    ++*count;
    return;
  }
  char *const one = *list + pick((uint32_t)*count) * item, *const last = *list + (*count - 1) * item;
  char kept[sizeof(ProtobufCBinaryData)];
  if (way == 2) { /* one less */
    free_value(one, f);
    memmove(one, one + item, (size_t)(last - one));
    --*count;
  } else if (way == 3) { /* two change places */
    memcpy(kept, one, item);
    memcpy(one, last, item);
    memcpy(last, kept, item);
  } else {
    change_value(one, f, donor);
  }
}

static void change(ProtobufCMessage *root, ProtobufCMessage *donor) {
  place p = {0};
  walk(root, &p);
  if (!p.message)
    return;
  const ProtobufCFieldDescriptor *const f = p.field;
  void *const value = at(p.message, f->offset);
  if (f->label == PROTOBUF_C_LABEL_REPEATED) {
    change_list(p.message, f, donor);
    return;
  }
  const bool pointer = f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING;
  if (pick(8) == 0) { /* it goes */
    if (pointer && *(void **)value)
      free_value(value, f);
    if (pointer)
      *(void **)value = NULL;
    else
      *(protobuf_c_boolean *)at(p.message, f->quantifier_offset) = 0;
    if (f->type == PROTOBUF_C_TYPE_BYTES) {
      free_value(value, f);
      memset(value, 0, sizeof(ProtobufCBinaryData));
    }
    return;
  }
  change_value(value, f, donor);
  if (!pointer)
    *(protobuf_c_boolean *)at(p.message, f->quantifier_offset) = 1;
}

static size_t pack(ProtobufCMessage *m, uint8_t *out, size_t most) {
  const size_t size = protobuf_c_message_get_packed_size(m);
  const bool fits = size <= most;
  if (fits)
    (void)protobuf_c_message_pack(m, out);
  protobuf_c_message_free_unpacked(m, NULL);
  return fits ? size : 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  state = ((uint64_t)seed << 32 | 0x9e3779b9u) * 0xbf58476d1ce4e5b9u | 1;
  ProtobufCMessage *const m =
      pick(16) == 0 ? NULL : protobuf_c_message_unpack(&ow_onnx__model_proto__descriptor, NULL, size, data);
  if (!m)
    return LLVMFuzzerMutate(data, size, most);
  for (uint32_t n = 1 + pick(3); n > 0; n--)
    change(m, m);
  const size_t packed = pack(m, data, most);
  return packed ? packed : LLVMFuzzerMutate(data, size, most);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out,
                                 size_t most, unsigned seed) {
  state = ((uint64_t)seed << 32 | 0x9e3779b9u) * 0x94d049bb133111ebu | 1;
  ProtobufCMessage *const m = protobuf_c_message_unpack(&ow_onnx__model_proto__descriptor, NULL, a_size, a);
  ProtobufCMessage *const donor = protobuf_c_message_unpack(&ow_onnx__model_proto__descriptor, NULL, b_size, b);
  size_t packed = 0;
  if (m && donor) {
    for (uint32_t n = 1 + pick(3); n > 0; n--)
      change(m, donor);
    packed = pack(m, out, most);
  } else if (m) {
    protobuf_c_message_free_unpacked(m, NULL);
  }
  if (donor)
    protobuf_c_message_free_unpacked(donor, NULL);
  return packed;
}
