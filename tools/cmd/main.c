#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "host.h"
#include "interrupt.h"

static const ow_command *const commands[] = {
    &ow_command_run,   &ow_command_test,     &ow_command_dump,  &ow_command_check,
    &ow_command_bench, &ow_command_generate, &ow_command_embed,
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const char common_help[] =
    "\n"
    "Options of every command:\n"
    "  --threads N              threads to compute with (default: what affinity and cgroup allow)\n"
    "  --precision P            f32 (default), bf16 or auto\n"
    "  --reference              only the plain scalar kernels\n"
    "  --no-passes              no optimisation of the graph\n"
    "  --disable-pass A,B       without these passes\n"
    "  --stop-after-pass N      only the first N passes\n"
    "  --no-mmap                read files instead of mapping them: for files that may change while in use\n"
    "  --limit NAME=VALUE       file_bytes, metadata_bytes, depth, nodes, tensor_bytes, total_bytes or fold_bytes; K, "
    "M, G, T may follow\n"
    "  --plugin LIB             operators from this shared library; may be given again\n"
    "  --plugin-override        plug-ins may replace operators that are built in\n"
    "  --plugin-check           look for writes of plug-ins past their memory\n"
    "  --help\n"
    "Exit codes: 0 done; 1 the work failed, one line on stderr says where and why; 2 bad usage.\n";

static void print_overview(FILE *out) {
  fputs(
      "Onward runs exported ONNX Transformer models on CPUs.\n\nonward COMMAND ... ; a MODEL is an .onnx file or a "
      "folder that holds model.onnx\n",
      out);
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
  fputs(
      "\n"
      "  onward run model.onnx --input 'input_ids=[[101,2023,102]]' --input attention_mask=ones:1x3\n"
      "  onward dump model.onnx\n"
      "  onward COMMAND --help       options and examples of one command\n"
      "  onward --version\n",
      out);
}

static const ow_command *find(const char *name) {
  for (size_t i = 0; i < COMMAND_COUNT; i++)
    if (strcmp(commands[i]->name, name) == 0)
      return commands[i];
  return NULL;
}

static int usage(const char *word, const char *what) {
  onward_error err;
  ow_cmd_fail(&err, ONWARD_ARGUMENT, "%s: %s", word, what);
  return ow_cmd_report(&err);
}

static int print_help(const ow_command *command) {
  if (command->help == NULL)
    return usage(command->name, "not built yet");
  fputs(command->help, stdout);
  fputs(common_help, stdout);
  return OW_EXIT_OK;
}

static bool wants_help(int argc, char **argv) {
  for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
      return true;
  return false;
}

static int dispatch(double began_ms, int argc, char **argv) {
  if (argc < 2) {
    print_overview(stderr);
    return OW_EXIT_USAGE;
  }
  const char *const word = argv[1];
  if (strcmp(word, "--version") == 0) {
    printf("onward %s\n", onward_version());
    return OW_EXIT_OK;
  }
  const bool help = strcmp(word, "help") == 0;
  if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (help && argc == 2)) {
    print_overview(stdout);
    return OW_EXIT_OK;
  }
  const ow_command *const command = find(help ? argv[2] : word);
  if (command == NULL)
    return usage(help ? argv[2] : word,
                 "no such command; there are run, test, dump, check, bench, generate, embed (onward --help)");
  if (help || wants_help(argc - 2, argv + 2) || command->help == NULL)
    return print_help(command);
  return command->run(began_ms, argc - 2, argv + 2);
}

int main(int argc, char **argv) {
  const double began_ms = ow_host_start();
  ow_interrupt_install();
  int code = ow_interrupt_code(dispatch(began_ms, argc, argv));
  if ((fflush(stdout) != 0 || ferror(stdout)) && code == OW_EXIT_OK) {
    fprintf(stderr, "standard output: %s\n", errno != 0 ? strerror(errno) : "cannot be written");
    code = OW_EXIT_FAILED;
  }
  return code;
}
