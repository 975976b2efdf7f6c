/* Runs a fuzz target without libFuzzer: replay [-changes=N] [-random=N] [-seed=N] FILE|FOLDER...  gives it each file as it is, cut
 * short, and with N seeded changes; and N times 160 random bytes. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

static unsigned long inputs;
static unsigned state = 1;

static unsigned next(void) {
  state = state * 1664525u + 1013904223u;
  return state >> 8;
}

/* What libFuzzer would lend a mutator: a few bytes change. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most) {
  static const uint8_t hostile[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe};
  if (size == 0)
    return 0;
  for (unsigned n = 1 + next() % 4; n > 0; n--)
    data[next() % size] = next() % 2 ? hostile[next() % sizeof hostile] : (uint8_t)next();
  return size < most ? size : most;
}

static void give(const uint8_t *data, size_t size) {
  uint8_t *const exact = malloc(size ? size : 1); /* so that a sanitizer sees reads past the end */
  if (!exact)
    abort();
  memcpy(exact, data, size);
  (void)LLVMFuzzerTestOneInput(exact, size);
  free(exact);
  inputs++;
}

static int replay(const char *path, unsigned changes) {
  DIR *const folder = opendir(path);
  if (folder) {
    int failed = 0;
    for (const struct dirent *e; (e = readdir(folder)) != NULL;) {
      char inner[4096];
      if (e->d_name[0] != '.' && snprintf(inner, sizeof inner, "%s/%s", path, e->d_name) < (int)sizeof inner)
        failed |= replay(inner, changes);
    }
    closedir(folder);
    return failed;
  }
  FILE *const file = fopen(path, "rb");
  if (!file) {
    perror(path);
    return 1;
  }
  enum { MOST = 1 << 20 };
  static uint8_t bytes[MOST], changed[MOST];
  const size_t size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  give(bytes, size);
  for (unsigned i = 0; i < changes; i++) {
    if (size > 0)
      give(bytes, next() % size);
    memcpy(changed, bytes, size);
    give(changed, LLVMFuzzerCustomMutator ? LLVMFuzzerCustomMutator(changed, size, MOST, next())
                                          : LLVMFuzzerMutate(changed, size, MOST));
  }
  return 0;
}

static void give_random(unsigned long count) {
  uint64_t x = UINT64_C(88172645463325252) + state * UINT64_C(2654435761);
  for (unsigned long i = 0; i < count; i++) {
    uint8_t bytes[160];
    for (size_t j = 0; j < sizeof bytes; j += sizeof x) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
      memcpy(bytes + j, &x, sizeof x);
    }
    give(bytes, sizeof bytes);
  }
}

int main(int argc, char **argv) {
  unsigned changes = 0;
  unsigned long count;
  int failed = 0;
  for (int i = 1; i < argc; i++) {
    if (sscanf(argv[i], "-random=%lu", &count) == 1)
      give_random(count);
    else if (sscanf(argv[i], "-seed=%u", &state) != 1 && sscanf(argv[i], "-changes=%u", &changes) != 1)
      failed |= replay(argv[i], changes);
  }
  printf("%lu inputs\n", inputs);
  return failed || inputs == 0;
}
