/* malloc and its kin as this program's, for all its libraries. The one file that includes this says before it which fail:
 *
 *     static bool malloc_fails(void);        asked once per allocation
 */
#ifndef OW_TESTS_OWN_MALLOC_H
#define OW_TESTS_OWN_MALLOC_H

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

static atomic_int_least64_t malloc_held; /* allocated and not freed */

static void *malloc_counted(void *memory) {
  atomic_fetch_add(&malloc_held, memory != NULL);
  return memory;
}

static void *malloc_refused(void) {
  errno = ENOMEM;
  return NULL;
}

#define OW_EXPORTED __attribute__((visibility("default")))
OW_EXPORTED void *malloc(size_t size) {
  return malloc_fails() ? malloc_refused() : malloc_counted(__libc_malloc(size));
}
OW_EXPORTED void *calloc(size_t n, size_t size) {
  return malloc_fails() ? malloc_refused() : malloc_counted(__libc_calloc(n, size));
}
OW_EXPORTED void *realloc(void *memory, size_t size) {
  if (malloc_fails())
    return malloc_refused();
  return memory ? __libc_realloc(memory, size) : malloc_counted(__libc_realloc(NULL, size));
}
OW_EXPORTED void *memalign(size_t alignment, size_t size) {
  return malloc_fails() ? malloc_refused() : malloc_counted(__libc_memalign(alignment, size));
}
OW_EXPORTED void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
OW_EXPORTED int posix_memalign(void **out, size_t alignment, size_t size) {
  void *const memory = memalign(alignment, size);
  if (!memory)
    return ENOMEM;
  *out = memory;
  return 0;
}
OW_EXPORTED void free(void *memory) {
  atomic_fetch_sub(&malloc_held, memory != NULL);
  __libc_free(memory);
}

#endif
