/* Compares every fast kernel of every registered operator with the operator's reference, once per level of the CPU in a process
 * of its own.   check_kernels [--bench] [--verbose] [--level LEVEL] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/kernel_run.h"
#include "ops/ops.h"

/* Ours, and the same for oneDNN. */
static const struct {
  const char *level, *dnnl;
} levels[] = {{"PORTABLE", "SSE41"}, {"AVX2", "AVX2"}, {"AVX512", "AVX512_CORE"}};

/* Every kernel but the last of a row, which is its reference, once. */
static size_t list_kernels(const ow_registry *registry, run_seen *seen, size_t room) {
  size_t count = 0;
  const ow_op *row;
  for (size_t r = 0; (row = ow_registry_row(registry, r)); r++)
    for (size_t k = 0; row->kernels && row->kernels[k] && row->kernels[k + 1]; k++) {
      const ow_kernel *const kernel = row->kernels[k];
      size_t i = 0;
      while (i < count && strcmp(seen[i].name, kernel->name) != 0)
        i++;
      if (i < count || count == room)
        continue;
      seen[count++] = (run_seen){.name = kernel->name, .available = (kernel->cpu & ~ow_cpu_flags()) == 0};
    }
  return count;
}

static int check_level(bool bench, bool verbose) {
  onward_error err;
  static run_seen seen[256];
  ow_registry *const registry = ow_registry_create(&ow_allocator_default);
  if (!registry || ow_ops_register(registry, &err)) {
    fprintf(stderr, "check_kernels: the registry: %s\n", registry ? err.message : "no memory");
    return 2;
  }
  run_context context = {.registry = registry, .seed = 7, .bench = bench, .verbose = verbose, .seen = seen};
  context.seen_count = list_kernels(registry, seen, sizeof seen / sizeof seen[0]);
  if (bench)
    cases_bench(&context);
  else
    cases_all(&context);
  size_t available = 0;
  for (size_t i = 0; i < context.seen_count && !bench; i++) {
    available += seen[i].available;
    if (seen[i].available && seen[i].accepted == 0) {
      printf("FAIL %s: no case of cases_all reaches it\n", seen[i].name);
      context.failures++;
    }
  }
  if (!bench)
    printf("%-8s %zu of %zu kernels, %lld cases, %lld comparisons, %lld failures\n", ow_cpu_level_name(ow_cpu_flags()),
           available, context.seen_count, (long long)context.cases, (long long)context.comparisons,
           (long long)context.failures);
  ow_registry_free(registry);
  return context.failures ? 1 : 0;
}

int main(int argc, char **argv) {
  bool bench = false, verbose = false;
  const char *level = NULL;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--bench") == 0)
      bench = true;
    else if (strcmp(argv[i], "--verbose") == 0)
      verbose = true;
    else if (strcmp(argv[i], "--level") == 0 && i + 1 < argc)
      level = argv[++i];
    else
      return fprintf(stderr, "usage: check_kernels [--bench] [--verbose] [--level LEVEL]\n"), 2;
  }
  if (level || bench)
    return check_level(bench, verbose);

  int worst = 0;
  for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      setenv("ONWARD_MAX_CPU_ISA", levels[i].level, 1);
      setenv("ONEDNN_MAX_CPU_ISA", levels[i].dnnl, 1);
      execl("/proc/self/exe", argv[0], "--level", levels[i].level, verbose ? "--verbose" : (char *)NULL, (char *)NULL);
      _exit(2);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
      printf("FAIL level %s: the process died\n", levels[i].level);
      worst = 2;
    } else if (WEXITSTATUS(status) > worst) {
      worst = WEXITSTATUS(status);
    }
  }
  return worst;
}
