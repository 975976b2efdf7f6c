#include "proto/wire.h"

#include <assert.h>
#include <string.h>

#include "base/format.h"
#include "base/size.h"
#include "base/stop.h"
#include "onnx.pb-c.h"

#define FIELDS_BETWEEN_CHECKS 1024
#define MESSAGE_FIELDS_MAX 24 /* of any message of onnx.proto */
#define FIRST_PRIVATE_FIELD 1000
#define LENGTH_WIDTH 5 /* lengths in the skeleton are written when the content is known, so their width is fixed */
#define NAME_BYTES_MAX 65536
#define DEPTH_MAX 256

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

typedef struct frame {
  const ProtobufCMessageDescriptor *type;
  const ProtobufCFieldDescriptor *field; /* of the parent; NULL at the root */
  uint32_t element;                      /* which one, of a repeated field */
  size_t end;
  size_t length_at; /* in the skeleton */
  size_t tensor;    /* index in the table, for a TensorProto */
  bool dropped;     /* checked, but not in the skeleton */
  uint32_t fields;  /* read so far */
  uint32_t counts[MESSAGE_FIELDS_MAX];
} frame;

typedef struct scan {
  ow_wire *wire;
  const uint8_t *bytes;
  size_t at;
  frame *frames;
  size_t depth, capacity;
  uint64_t graphs; /* open ones */
  uint64_t heap;   /* about what the tree of all read so far takes */
  uint64_t raw;    /* bytes of tensor data read so far */
  size_t message_max;
  const ow_wire_limits *limits;
  const ProtobufCFieldDescriptor *field; /* being read, for messages; NULL: none yet */
  onward_error *err;
} scan;

/* ---- errors -------------------------------------------------------------------------------------------------------------- */

static size_t put_text(char *buffer, size_t size, size_t used, const char *text) {
  const size_t length = strlen(text);
  if (used + length < size) {
    memcpy(buffer + used, text, length + 1);
    used += length;
  }
  return used;
}

static size_t put_field(char *buffer, size_t size, size_t used, const ProtobufCFieldDescriptor *field,
                        uint32_t element) {
  if (used)
    used = put_text(buffer, size, used, ".");
  used = put_text(buffer, size, used, field->name);
  if (field->label != PROTOBUF_C_LABEL_REPEATED)
    return used;
  char digits[16];
  size_t at = sizeof digits;
  digits[--at] = '\0';
  digits[--at] = ']';
  do
    digits[--at] = (char)('0' + element % 10);
  while ((element /= 10) != 0);
  digits[--at] = '[';
  return put_text(buffer, size, used, digits + at);
}

/* Puts "byte 1042 (graph.node[3].op_type): " before the message. */
static onward_status place(const scan *s, size_t offset, onward_status status) {
  char path[160] = "";
  size_t used = 0, shown = 0;
  for (size_t i = 1; i < s->depth && shown < 12; i++, shown++)
    used = put_field(path, sizeof path, used, s->frames[i].field, s->frames[i].element);
  if (shown + 1 < s->depth)
    used = put_text(path, sizeof path, used, "...");
  else if (s->field)
    used = put_field(path, sizeof path, used, s->field,
                     s->frames[s->depth - 1].counts[s->field - s->frames[s->depth - 1].type->fields]);
  if (used)
    ow_error_prefix(s->err, "byte %zu (%s)", offset, path);
  else
    ow_error_prefix(s->err, "byte %zu", offset);
  return status;
}

#define BAD(s, offset, ...) place(s, offset, ow_fail((s)->err, ONWARD_FORMAT, __VA_ARGS__))
#define ABOVE(s, offset, what, name, value)                                                         \
  place(s, offset,                                                                                  \
        ow_fail((s)->err, ONWARD_LIMIT, "%s above the limit %s of %llu (--limit %s=N)", what, name, \
                (unsigned long long)(value), name))
#define NO_MEMORY(s) ow_fail((s)->err, ONWARD_MEMORY, "no memory to scan the file")

/* Counts what the tree needs for a field: an empty message of two bytes becomes more than a hundred. */
static onward_status charge(scan *s, size_t offset, uint64_t bytes) {
  enum { FIELDS_ON_STACK = 16, FIELD_RECORD = 96 }; /* protobuf-c notes fields while it reads a message */
  frame *f = &s->frames[s->depth - 1];
  const uint64_t share = s->limits->heap_share, free_bytes = UINT64_C(64) << 20;
  if (f->dropped)
    return ONWARD_OK;
  f->fields += f->fields < UINT32_MAX;
  s->heap += bytes + (f->fields > FIELDS_ON_STACK ? FIELD_RECORD : 0);
  const uint64_t used = s->heap + 2 * (uint64_t)s->wire->skeleton_size;
  if (share == 0 || used <= free_bytes || (used - free_bytes) / share <= s->at - s->raw)
    return ONWARD_OK;
  return place(s, offset,
               ow_fail(s->err, ONWARD_LIMIT,
                       "reading this file takes more memory than its size explains, above the limit metadata_bytes "
                       "(raise it with --limit metadata_bytes=N)"));
}

/* ---- writing the skeleton -------------------------------------------------------------------------------------------------- */

static onward_status write_bytes(scan *s, const void *bytes, size_t size) {
  ow_wire *w = s->wire;
  if (s->frames[s->depth - 1].dropped)
    return ONWARD_OK;
  if (size > s->limits->metadata_bytes || w->skeleton_size > s->limits->metadata_bytes - size)
    return ABOVE(s, s->at, "bytes that are not tensor data are", "metadata_bytes", s->limits->metadata_bytes);
  if (!ow_reserve(w->allocator, &w->skeleton, &w->skeleton_capacity, w->skeleton_size, w->skeleton_size + size, 1))
    return NO_MEMORY(s);
  if (size)
    memcpy(w->skeleton + w->skeleton_size, bytes, size);
  w->skeleton_size += size;
  return ONWARD_OK;
}

static size_t put_varint(uint8_t *out, uint64_t value) {
  size_t n = 0;
  for (; value >= 0x80; value >>= 7)
    out[n++] = (uint8_t)(value | 0x80);
  out[n++] = (uint8_t)value;
  return n;
}

static onward_status write_tag(scan *s, uint32_t number, uint32_t wire_type) {
  uint8_t tag[10];
  return write_bytes(s, tag, put_varint(tag, (uint64_t)number << 3 | wire_type));
}

static onward_status write_place(scan *s, size_t index) {
  uint8_t value[10];
  OW_TRY(write_tag(s, FIRST_PRIVATE_FIELD, WIRE_VARINT));
  return write_bytes(s, value, put_varint(value, index));
}

static void patch_length(ow_wire *w, size_t at) {
  size_t length = w->skeleton_size - at - LENGTH_WIDTH;
  for (size_t i = 0; i < LENGTH_WIDTH; i++, length >>= 7)
    w->skeleton[at + i] = (uint8_t)((length & 0x7f) | (i + 1 < LENGTH_WIDTH ? 0x80 : 0));
}

/* ---- reading ----------------------------------------------------------------------------------------------------------------- */

/* Moves past a varint that ends before end. false: it does not, or it has more than 64 bits. */
static bool read_varint(const uint8_t *bytes, size_t *at, size_t end, uint64_t *value) {
  uint64_t v = 0;
  for (size_t i = 0; i < 10 && *at + i < end; i++) {
    const uint8_t byte = bytes[*at + i];
    if (i == 9 && byte > 1)
      return false;
    v |= (uint64_t)(byte & 0x7f) << (7 * i);
    if (!(byte & 0x80)) {
      *at += i + 1;
      *value = v;
      return true;
    }
  }
  return false;
}

static uint32_t wire_type_of(const ProtobufCFieldDescriptor *field) {
  switch (field->type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32: return WIRE_FIXED32;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64: return WIRE_FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return WIRE_BYTES;
    default: return WIRE_VARINT;
  }
}

static bool is_field(const frame *f, const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field,
                     uint32_t number) {
  return f->type == type && field->id == number;
}

static onward_status check_string(scan *s, size_t offset, size_t length) {
  const char *text = (const char *)s->bytes + offset;
  const frame *f = &s->frames[s->depth - 1];
  if (length > NAME_BYTES_MAX && f->type != &ow_onnx__string_string_entry_proto__descriptor)
    return place(s, offset, ow_fail(s->err, ONWARD_LIMIT, "a name of %zu bytes, above %d", length, NAME_BYTES_MAX));
  if (ow_text_valid(text, length))
    return ONWARD_OK;
  return memchr(text, 0, length) ? BAD(s, offset, "a NUL byte inside text") : BAD(s, offset, "text is not valid UTF-8");
}

static onward_status check_packed(scan *s, size_t offset, size_t length) {
  const uint32_t type = wire_type_of(s->field);
  if (type != WIRE_VARINT) {
    const size_t size = type == WIRE_FIXED32 ? 4 : 8;
    return length % size == 0 ? ONWARD_OK
                              : BAD(s, offset, "%zu bytes of packed numbers, want a multiple of %zu", length, size);
  }
  size_t at = offset;
  const size_t end = offset + length;
  uint64_t value;
  while (at < end)
    if (!read_varint(s->bytes, &at, end, &value))
      return BAD(s, at, "a packed number is cut off or longer than 64 bits");
  return ONWARD_OK;
}

/* Open a message whose content is [s->at, end). field: NULL at the root. */
static onward_status push(scan *s, const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field,
                          size_t end) {
  ow_wire *w = s->wire;
  const size_t start = s->at;
  if (s->depth == s->message_max)
    return ABOVE(s, start, "messages are nested", "depth", s->limits->depth);
  const bool is_graph = type == &ow_onnx__graph_proto__descriptor || type == &ow_onnx__function_proto__descriptor;
  if (is_graph && s->graphs >= s->limits->depth)
    return ABOVE(s, start, "graphs are nested", "depth", s->limits->depth);
  if (type == &ow_onnx__node_proto__descriptor && w->node_count >= s->limits->nodes)
    return ABOVE(s, start, "nodes are", "nodes", s->limits->nodes);
  bool dropped = false;
  uint32_t element = 0;
  if (field) {
    const frame *parent = &s->frames[s->depth - 1];
    element = parent->counts[field - parent->type->fields];
    dropped = parent->dropped || is_field(parent, &ow_onnx__graph_proto__descriptor, field, 13) ||
              is_field(parent, &ow_onnx__function_proto__descriptor, field, 12); /* value_info: a hint nobody trusts */
    OW_TRY(dropped ? ONWARD_OK : charge(s, start, type->sizeof_message + 24));
    OW_TRY(dropped ? ONWARD_OK : write_tag(s, field->id, WIRE_BYTES));
    OW_TRY(dropped ? ONWARD_OK : write_bytes(s, (const uint8_t[LENGTH_WIDTH]){0}, LENGTH_WIDTH));
  }
  if (!ow_reserve(w->allocator, &s->frames, &s->capacity, s->depth, s->depth + 1, sizeof(frame)))
    return NO_MEMORY(s);
  frame *f = &s->frames[s->depth++];
  *f = (frame){.type = type, .field = field, .element = element, .end = end, .dropped = dropped};
  f->length_at = field && !dropped ? w->skeleton_size - LENGTH_WIDTH : 0;
  s->field = NULL;
  s->graphs += is_graph;
  assert(type->n_fields <= MESSAGE_FIELDS_MAX);
  if (type == &ow_onnx__node_proto__descriptor) {
    if (!ow_reserve(w->allocator, &w->nodes, &w->node_capacity, w->node_count, w->node_count + 1, sizeof *w->nodes))
      return NO_MEMORY(s);
    w->nodes[w->node_count++] = start;
    return write_place(s, w->node_count - 1);
  }
  if (type == &ow_onnx__tensor_proto__descriptor) {
    if (!ow_reserve(w->allocator, &w->tensors, &w->tensor_capacity, w->tensor_count, w->tensor_count + 1,
                    sizeof *w->tensors))
      return NO_MEMORY(s);
    f->tensor = w->tensor_count;
    w->tensors[w->tensor_count++] = (ow_wire_tensor){.offset = start};
    return write_place(s, f->tensor);
  }
  return ONWARD_OK;
}

static void pop(scan *s) {
  const frame *f = &s->frames[--s->depth];
  if (f->field && !f->dropped)
    patch_length(s->wire, f->length_at);
  if (f->type == &ow_onnx__graph_proto__descriptor || f->type == &ow_onnx__function_proto__descriptor)
    s->graphs--;
  s->field = NULL;
  if (f->field) {
    frame *parent = &s->frames[s->depth - 1];
    parent->counts[f->field - parent->type->fields]++;
  }
}

/* The value of a known field with bytes [s->at, s->at + length) whose tag began at start. May open a message. */
static onward_status known_bytes(scan *s, const ProtobufCFieldDescriptor *field, size_t start, size_t length) {
  frame *f = &s->frames[s->depth - 1];
  const size_t offset = s->at;
  if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
    if (field->label != PROTOBUF_C_LABEL_REPEATED && f->counts[field - f->type->fields])
      return BAD(s, start, "appears twice in one message");
    return push(s, field->descriptor, field, offset + length);
  }
  s->at = offset + length;
  if (is_field(f, &ow_onnx__tensor_proto__descriptor, field, 9)) {
    ow_wire_tensor *t = &s->wire->tensors[f->tensor];
    t->raw_offset = offset;
    t->raw_size = length;
    t->has_raw = true;
    s->raw += length;
    f->counts[field - f->type->fields]++;
    return ONWARD_OK;
  }
  if (field->type == PROTOBUF_C_TYPE_STRING)
    OW_TRY(check_string(s, offset, length));
  else if (field->type != PROTOBUF_C_TYPE_BYTES)
    OW_TRY(check_packed(s, offset, length));
  const bool numbers = field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_BYTES;
  OW_TRY(charge(s, start, numbers && wire_type_of(field) == WIRE_VARINT ? 8 * (uint64_t)length : length + 32));
  f->counts[field - f->type->fields]++;
  uint8_t size[10];
  OW_TRY(write_tag(s, field->id, WIRE_BYTES));
  OW_TRY(write_bytes(s, size, put_varint(size, length)));
  return write_bytes(s, s->bytes + offset, length);
}

static onward_status scan_field(scan *s) {
  frame *f = &s->frames[s->depth - 1];
  const size_t start = s->at, end = f->end;
  uint64_t tag;
  s->field = NULL;
  if (!read_varint(s->bytes, &s->at, end, &tag))
    return BAD(s, start, "a field's tag is cut off or longer than 64 bits");
  const uint64_t number = tag >> 3;
  const uint32_t wire_type = (uint32_t)(tag & 7);
  if (number == 0 || number >= UINT64_C(1) << 29)
    return BAD(s, start, "field number %llu is outside [1,536870911]", (unsigned long long)number);
  if (number < FIRST_PRIVATE_FIELD)
    s->field = protobuf_c_message_descriptor_get_field(f->type, (unsigned)number);
  const ProtobufCFieldDescriptor *field = s->field;
  if (wire_type == 3 || wire_type == 4)
    return BAD(s, start, "field %llu is a group, which ONNX does not have", (unsigned long long)number);
  if (wire_type > 5)
    return BAD(s, start, "field %llu has wire type %u, which does not exist", (unsigned long long)number, wire_type);
  if (field) {
    const uint32_t want = wire_type_of(field);
    const bool packed = field->label == PROTOBUF_C_LABEL_REPEATED && want != WIRE_BYTES && wire_type == WIRE_BYTES;
    if (wire_type != want && !packed)
      return BAD(s, start, "wire type %u, want %u", wire_type, want);
  }
  const size_t value = s->at;
  uint64_t number_value, length;
  switch (wire_type) {
    case WIRE_VARINT:
      if (!read_varint(s->bytes, &s->at, end, &number_value))
        return BAD(s, value, "a number is cut off or longer than 64 bits");
      break;
    case WIRE_BYTES:
      if (!read_varint(s->bytes, &s->at, end, &length))
        return BAD(s, value, "a length is cut off or longer than 64 bits");
      if (length > end - s->at)
        return BAD(s, value, "length %llu goes past its parent's end", (unsigned long long)length);
      if (field)
        return known_bytes(s, field, start, (size_t)length);
      s->at += (size_t)length;
      return ONWARD_OK;
    default:
      length = wire_type == WIRE_FIXED32 ? 4 : 8;
      if (length > end - s->at)
        return BAD(s, value, "a number of %llu bytes goes past its parent's end", (unsigned long long)length);
      s->at += (size_t)length;
      break;
  }
  if (!field)
    return ONWARD_OK;
  OW_TRY(charge(s, start, 8));
  f->counts[field - f->type->fields]++;
  OW_TRY(write_tag(s, field->id, wire_type));
  return write_bytes(s, s->bytes + value, s->at - value);
}

onward_status ow_wire_scan(const void *bytes, size_t size, const ProtobufCMessageDescriptor *root,
                           const ow_wire_limits *limits, const ow_allocator *allocator, ow_wire *wire,
                           onward_error *err) {
  ow_wire_limits bounded = *limits;
  if (bounded.depth > DEPTH_MAX)
    bounded.depth = DEPTH_MAX;
  /* Well within what LENGTH_WIDTH bytes and protobuf-c's ints hold. */
  if (bounded.metadata_bytes > INT32_MAX)
    bounded.metadata_bytes = INT32_MAX;
  if (bounded.nodes > UINT32_MAX)
    bounded.nodes = UINT32_MAX;
  ow_wire made = {.allocator = allocator, .bytes = bytes, .size = size};
  scan s = {.wire = &made, .bytes = bytes, .limits = &bounded, .err = err};
  /* A level of graphs is three messages (graph, node, attribute); types and tensors go a few deeper. */
  s.message_max = (size_t)bounded.depth * 3 + 32;
  onward_status status = push(&s, root, NULL, size);
  for (size_t fields = 1; status == ONWARD_OK && s.depth; fields++) {
    if (fields % FIELDS_BETWEEN_CHECKS == 0 && (status = ow_stop_check(err)) != ONWARD_OK)
      break;
    if (s.at == s.frames[s.depth - 1].end)
      pop(&s);
    else
      status = scan_field(&s);
  }
  ow_free(allocator, s.frames);
  if (status == ONWARD_OK)
    *wire = made;
  else
    ow_wire_free(&made);
  return status;
}

void ow_wire_free(ow_wire *wire) {
  if (!wire->allocator)
    return;
  ow_free(wire->allocator, wire->skeleton);
  ow_free(wire->allocator, wire->tensors);
  ow_free(wire->allocator, wire->nodes);
  *wire = (ow_wire){0};
}

/* ---- protobuf-c ---------------------------------------------------------------------------------------------------------------- */

typedef struct budget {
  ow_arena *arena;
  uint64_t left;
  bool spent;
} budget;

static void *budget_alloc(void *context, size_t size) {
  budget *b = context;
  if (size > b->left) {
    b->spent = true;
    return NULL;
  }
  b->left -= size;
  return ow_arena_alloc(b->arena, size);
}

static void budget_free(void *context, void *memory) { /* the arena goes whole */
  (void)context;
  (void)memory;
}

onward_status ow_wire_unpack(const ow_wire *wire, const ProtobufCMessageDescriptor *root, ow_arena *arena,
                             uint64_t budget_bytes, ProtobufCMessage **tree, onward_error *err) {
  budget b = {.arena = arena, .left = budget_bytes};
  ProtobufCAllocator allocator = {budget_alloc, budget_free, &b};
  ProtobufCMessage *made = protobuf_c_message_unpack(root, &allocator, wire->skeleton_size, wire->skeleton);
  if (!made && b.spent)
    return ow_fail(
        err, ONWARD_LIMIT,
        "parsing %zu bytes of metadata takes more than %llu bytes, the limit metadata_bytes (--limit metadata_bytes=N)",
        wire->skeleton_size, (unsigned long long)budget_bytes);
  if (!made)
    return ow_fail(err, ONWARD_MEMORY, "no memory to parse %zu bytes of metadata", wire->skeleton_size);
  *tree = made;
  return ONWARD_OK;
}
