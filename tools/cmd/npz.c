/* .npz: a ZIP archive of .npy files. The central directory at the end says where everything is.
 *
 *     [local header | name | extra | data] ... [directory entry]... [zip64 end, locator] [end record]
 */
#include <inttypes.h>
#include <string.h>

#include "npy.h"

#define END_SIZE 22
#define COMMENT_MAX 65535
#define ENTRY_SIZE 46
#define LOCAL_SIZE 30

typedef struct archive {
  const char *name;
  const uint8_t *bytes;
  size_t size;
  onward_error *err;
} archive;

typedef struct entry {
  const uint8_t *name;
  size_t name_length;
  unsigned flags, method;
  uint32_t crc;
  uint64_t packed, unpacked, local;
} entry;

static uint64_t number(const uint8_t *p, int bytes) {
  uint64_t v = 0;
  for (int i = bytes - 1; i >= 0; i--)
    v = v << 8 | p[i];
  return v;
}

static bool broken(const archive *a, uint64_t at, const char *what) {
  return ow_cmd_fail(a->err, ONWARD_FORMAT, "%s: byte %" PRIu64 " of the archive: %s", a->name, at, what);
}

static uint32_t crc_of(const uint8_t *bytes, size_t size) {
  uint32_t table[256];
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++)
      c = (c & 1) != 0 ? 0xedb88320u ^ c >> 1 : c >> 1;
    table[i] = c;
  }
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; i++)
    crc = table[(crc ^ bytes[i]) & 255] ^ crc >> 8;
  return ~crc;
}

/* Where the directory is and how many entries it has. */
static bool find_directory(const archive *a, uint64_t *at, uint64_t *count) {
  if (a->size < END_SIZE || memcmp(a->bytes, "PK", 2) != 0)
    return ow_cmd_fail(a->err, ONWARD_FORMAT, "%s: not a .npz file (no ZIP archive)", a->name);
  size_t end = a->size - END_SIZE;
  const size_t lowest = end > COMMENT_MAX ? end - COMMENT_MAX : 0;
  while (memcmp(a->bytes + end, "PK\5\6", 4) != 0) {
    if (end == lowest)
      return broken(a, a->size, "no end of a ZIP archive: the file is truncated");
    end--;
  }
  *count = number(a->bytes + end + 10, 2);
  *at = number(a->bytes + end + 16, 4);
  if (end < 20 || memcmp(a->bytes + end - 20, "PK\6\7", 4) != 0)
    return true;
  const uint64_t large = number(a->bytes + end - 12, 8);
  if (large > a->size || a->size - large < 56 || memcmp(a->bytes + large, "PK\6\6", 4) != 0)
    return broken(a, end - 12, "the zip64 end is not where this says");
  *count = number(a->bytes + large + 32, 8);
  *at = number(a->bytes + large + 48, 8);
  return true;
}

static void take_large(const uint8_t *extra, size_t length, size_t *used, uint64_t *value) {
  if (*value == 0xffffffffu && length - *used >= 8) {
    *value = number(extra + *used, 8);
    *used += 8;
  }
}

/* Values of 2^32 - 1 stand in the extra field 1, in a fixed order. */
static void read_extra(const uint8_t *extra, size_t length, entry *e) {
  for (size_t i = 0; length - i >= 4;) {
    const size_t id = (size_t)number(extra + i, 2);
    const size_t size = (size_t)number(extra + i + 2, 2);
    i += 4;
    if (size > length - i)
      return;
    if (id == 1) {
      size_t used = 0;
      take_large(extra + i, size, &used, &e->unpacked);
      take_large(extra + i, size, &used, &e->packed);
      take_large(extra + i, size, &used, &e->local);
    }
    i += size;
  }
}

static bool read_record(const archive *a, uint64_t *at, entry *e) {
  if (*at > a->size || a->size - *at < ENTRY_SIZE || memcmp(a->bytes + *at, "PK\1\2", 4) != 0)
    return broken(a, *at, "an entry of the directory is wanted");
  const uint8_t *const p = a->bytes + *at;
  const size_t room = (size_t)(a->size - *at) - ENTRY_SIZE;
  const size_t name = (size_t)number(p + 28, 2), extra = (size_t)number(p + 30, 2), comment = (size_t)number(p + 32, 2);
  if (name + extra + comment > room)
    return broken(a, *at, "an entry of the directory is cut off");
  *e = (entry){.name = p + ENTRY_SIZE,
               .name_length = name,
               .flags = (unsigned)number(p + 8, 2),
               .method = (unsigned)number(p + 10, 2),
               .crc = (uint32_t)number(p + 16, 4),
               .packed = number(p + 20, 4),
               .unpacked = number(p + 24, 4),
               .local = number(p + 42, 4)};
  read_extra(p + ENTRY_SIZE + name, extra, e);
  *at += ENTRY_SIZE + name + extra + comment;
  return true;
}

static bool read_array(const archive *a, const entry *e, const char *member, ow_scratch *scratch,
                       onward_tensor *tensor) {
  if (e->method == 8)
    return ow_cmd_fail(
        a->err, ONWARD_UNSUPPORTED,
        "%s: '%s' is compressed; only stored entries are read (write it with np.savez, not np.savez_compressed)",
        a->name, member);
  if (e->method != 0 || (e->flags & 1) != 0)
    return ow_cmd_fail(a->err, ONWARD_UNSUPPORTED,
                       "%s: '%s' is compressed by method %u or encrypted; only stored entries are read", a->name,
                       member, e->method);
  if (e->local > a->size || a->size - e->local < LOCAL_SIZE || memcmp(a->bytes + e->local, "PK\3\4", 4) != 0)
    return broken(a, e->local, "the header of an entry is wanted");
  const uint8_t *const p = a->bytes + e->local;
  const uint64_t data = e->local + LOCAL_SIZE + number(p + 26, 2) + number(p + 28, 2);
  if (e->packed != e->unpacked || data > a->size || e->unpacked > a->size - data)
    return broken(a, e->local, "the data of the entry reaches past the end");
  if (crc_of(a->bytes + data, (size_t)e->unpacked) != e->crc)
    return ow_cmd_fail(a->err, ONWARD_FORMAT, "%s: the checksum of '%s' does not match its data", a->name, member);
  return ow_npy_parse(ow_scratch_text(scratch, "%s: %s", a->name, member), a->bytes + data, (size_t)e->unpacked,
                      scratch, tensor, a->err);
}

bool ow_npz_parse(const char *name, const uint8_t *bytes, size_t size, const char *member, ow_scratch *scratch,
                  onward_tensor *tensor, onward_error *err) {
  const archive a = {.name = name, .bytes = bytes, .size = size, .err = err};
  const size_t wanted = strlen(member);
  const char *names = "";
  uint64_t at = 0, count = 0;
  entry e = {0}, first = {0};
  if (!find_directory(&a, &at, &count))
    return false;
  for (uint64_t i = 0; i < count; i++) {
    if (!read_record(&a, &at, &e))
      return false;
    const bool suffixed = e.name_length >= 4 && memcmp(e.name + e.name_length - 4, ".npy", 4) == 0;
    const size_t length = e.name_length - (suffixed ? 4 : 0);
    if (length == wanted && memcmp(e.name, member, wanted) == 0)
      return read_array(&a, &e, member, scratch, tensor);
    if (i == 0)
      first = e;
    if (strlen(names) < 200)
      names = ow_scratch_text(scratch, "%s%s%.*s", names, i == 0 ? "" : ", ", (int)length, (const char *)e.name);
  }
  if (count == 1)
    return read_array(&a, &first, member, scratch, tensor);
  return ow_cmd_fail(err, ONWARD_INPUT, "%s: holds no array '%s'; it has %s", name, member,
                     count == 0 ? "none" : names);
}
