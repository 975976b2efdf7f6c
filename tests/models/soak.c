/* soak MODEL [RUNS [WARM [MAX_BATCH [MAX_LENGTH]]]]: runs an encoder on random batch and length and prints how much resident memory grew after the
 * first WARM runs. Exit 1 when it grew by 8 MiB or more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onward/onward.h"

static long resident_kib(void) {
  char line[256];
  long kib = -1;
  FILE *const f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "VmRSS: %ld", &kib) == 1)
      break;
  if (f)
    fclose(f);
  return kib;
}

static uint64_t next_random(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *state >> 33;
}

int main(int argc, char **argv) {
  const long runs = argc > 2 ? atol(argv[2]) : 500, warm = argc > 3 ? atol(argv[3]) : 100;
  const int64_t max_batch = argc > 4 ? atol(argv[4]) : 8, max_length = argc > 5 ? atol(argv[5]) : 256;
  onward_error err = {0};
  onward_model *model = NULL;
  onward_session *session = NULL;
  onward_named_tensor in[8], out[1];
  int64_t *const ones = malloc((size_t)(max_batch * max_length) * sizeof *ones);
  int result = 1;
  long start = 0;
  if (argc < 2 || !ones || onward_model_load(argv[1], NULL, &model, &err) ||
      onward_session_create(model, NULL, &session, &err))
    goto done;
  for (int64_t i = 0; i < max_batch * max_length; i++)
    ones[i] = 1;
  uint64_t seed = 1;
  for (long r = 0; r < runs; r++) {
    const int64_t batch = 1 + (int64_t)(next_random(&seed) % (uint64_t)max_batch),
                  length = 1 + (int64_t)(next_random(&seed) % (uint64_t)max_length);
    onward_value_info info;
    const size_t count = onward_model_input_count(model);
    for (size_t i = 0; i < count && i < 8; i++) {
      if (onward_model_input(model, i, &info, &err))
        goto done;
      in[i] = (onward_named_tensor){info.name,
                                    {ONWARD_INT64, 2, {batch, length}, ones, (size_t)(batch * length) * sizeof *ones}};
    }
    if (onward_model_output(model, 0, &info, &err))
      goto done;
    out[0] = (onward_named_tensor){.name = info.name};
    if (onward_session_run(session, in, count, out, 1, NULL, &err))
      goto done;
    if (r + 1 == warm)
      start = resident_kib();
  }
  const long grew = resident_kib() - start;
  const onward_session_stats stats = onward_session_get_stats(session);
  printf("%ld runs: resident memory %ld KiB, grew by %ld KiB after the first %ld; %llu plans built, %llu kept\n", runs,
         resident_kib(), grew, warm, (unsigned long long)stats.plans_built, (unsigned long long)stats.plans_cached);
  result = grew >= 8 * 1024;
done:
  if (err.status)
    fprintf(stderr, "%s\n", err.message);
  onward_session_free(session);
  onward_model_free(model);
  free(ones);
  return result;
}
