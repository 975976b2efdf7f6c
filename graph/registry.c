/* The rows a model may use, found by domain, name and version. */
#include <string.h>

#include "base/status.h"
#include "base/strmap.h"
#include "graph/op.h"

/* Rows of one name form a chain, newest first. Links are 1 + index; 0 ends. */
typedef struct entry {
  const ow_op *row;
  size_t next;
} entry;

struct ow_registry {
  const ow_allocator *allocator;
  entry *entries;
  size_t count, capacity;
  ow_strmap heads; /* name -> link, as a pointer-sized number */
};

ow_registry *ow_registry_create(const ow_allocator *a) {
  ow_registry *const registry = ow_alloc_zero(a, 1, sizeof *registry);
  if (!registry)
    return NULL;
  registry->allocator = a;
  ow_strmap_init(&registry->heads, a);
  return registry;
}

void ow_registry_free(ow_registry *registry) {
  if (!registry)
    return;
  const ow_allocator *const a = registry->allocator;
  ow_free(a, registry->entries);
  ow_strmap_free(&registry->heads);
  ow_free(a, registry);
}

static const char *plain_domain(const char *domain) { return strcmp(domain, "ai.onnx") == 0 ? "" : domain; }

static bool same_domain(const char *a, const char *b) { return strcmp(plain_domain(a), plain_domain(b)) == 0; }

static int64_t last_version(const ow_op *row) { return row->until == 0 ? INT32_MAX : row->until; }

static size_t head(const ow_registry *registry, const char *name) {
  return (size_t)(uintptr_t)ow_strmap_get(&registry->heads, name);
}

static bool set_head(ow_registry *registry, const char *name, size_t link) {
  return ow_strmap_put(&registry->heads, name, (void *)(uintptr_t)link);
}

static onward_status add_row(ow_registry *registry, const ow_op *row, bool override, onward_error *err) {
  const size_t first = head(registry, row->name);
  for (size_t link = first; link; link = registry->entries[link - 1].next) {
    const ow_op *const other = registry->entries[link - 1].row;
    if (same_domain(other->domain, row->domain) && other->since <= last_version(row) &&
        row->since <= last_version(other) && !(override && !(other->flags & OW_OP_CUSTOM)))
      return (row->flags & OW_OP_CUSTOM) && !(other->flags & OW_OP_CUSTOM)
                 ? ow_fail(err, ONWARD_ARGUMENT,
                           "operator %s.%s-%d is built in; --plugin-override lets plug-ins replace it",
                           row->domain[0] ? row->domain : "ai.onnx", row->name, other->since)
                 : ow_fail(err, ONWARD_ARGUMENT, "operator %s.%s: versions from %d and from %d overlap",
                           row->domain[0] ? row->domain : "ai.onnx", row->name, other->since, row->since);
  }
  if (!ow_reserve(registry->allocator, &registry->entries, &registry->capacity, registry->count, registry->count + 1,
                  sizeof *registry->entries) ||
      !set_head(registry, row->name, registry->count + 1))
    return ow_fail(err, ONWARD_MEMORY, "no memory for the operator registry");
  registry->entries[registry->count++] = (entry){row, first};
  return ONWARD_OK;
}

onward_status ow_registry_add(ow_registry *registry, const ow_op *rows, onward_error *err) {
  const size_t before = registry->count;
  for (const ow_op *row = rows; row->name; row++) {
    const onward_status status = add_row(registry, row, false, err);
    if (status == ONWARD_OK)
      continue;
    while (registry->count > before) { /* replacing the value of a key cannot fail */
      const entry *const gone = &registry->entries[--registry->count];
      (void)set_head(registry, gone->row->name, gone->next);
    }
    return status;
  }
  return ONWARD_OK;
}

onward_status ow_registry_add_custom(ow_registry *registry, const ow_op *row, bool override, onward_error *err) {
  return add_row(registry, row, override, err);
}

const ow_op *ow_registry_find(const ow_registry *registry, const char *domain, const char *name, int64_t version) {
  for (size_t link = head(registry, name); link; link = registry->entries[link - 1].next) {
    const ow_op *const row = registry->entries[link - 1].row;
    if (row->since <= version && version <= last_version(row) && same_domain(row->domain, domain))
      return row;
  }
  return NULL;
}

bool ow_registry_knows(const ow_registry *registry, const char *domain, const char *name) {
  for (size_t link = head(registry, name); link; link = registry->entries[link - 1].next)
    if (same_domain(registry->entries[link - 1].row->domain, domain))
      return true;
  return false;
}

const ow_op *ow_registry_row(const ow_registry *registry, size_t index) {
  return index < registry->count ? registry->entries[index].row : NULL;
}
