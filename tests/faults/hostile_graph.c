/* Models from texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/size.h"
#include "faults/hostile.h"

enum { WORDS_MAX = 64 };

static void list_of(char **words, size_t count, char *list, size_t room) {
  size_t used = 0;
  list[0] = '\0';
  for (size_t i = 0; i < count; i++)
    used += (size_t)snprintf(list + used, room - used, "%s%s", i ? " " : "", words[i]);
}

static void add_init(pb *graph, char **words, size_t count) {
  int64_t dims[WORDS_MAX];
  size_t bytes = 0;
  for (size_t i = 3; i < count; i++)
    dims[i - 3] = strtoll(words[i], NULL, 10);
  const int32_t dtype = (int32_t)strtol(words[2], NULL, 10);
  const size_t rank = count - 3;
  if (rank <= ONWARD_MAX_RANK)
    (void)ow_tensor_size((onward_dtype)dtype, (int32_t)rank, dims, &bytes);
  void *const zeros = calloc(bytes + 1, 1);
  if (!zeros)
    abort();
  pb_message(graph, 5, pb_tensor_raw(words[1], dtype, dims, rank, zeros, bytes));
  free(zeros);
}

static pb attribute(char *word) {
  char *const text = strchr(word, '=') + 1;
  text[-1] = '\0';
  if (strncmp(text, "f:", 2) == 0)
    return pb_attr_float(word, strtof(text + 2, NULL));
  if (strncmp(text, "s:", 2) == 0)
    return pb_attr_text(word, text + 2);
  if (strncmp(text, "l:", 2) != 0)
    return pb_attr_int(word, strtoll(text, NULL, 10));
  pb a = {0};
  pb_text(&a, 1, word);
  pb_int(&a, 20, 7);
  for (char *at = text + 2; *at; at += *at == ',') {
    char *end;
    pb_int(&a, 8, strtoll(at, &end, 10));
    at = end > at ? end : at + strlen(at);
  }
  return a;
}

static void add_node(pb *graph, char **words, size_t count) {
  const char *name = "", *domain = "";
  char inputs[1024], outputs[1024];
  size_t first = 1, arrow, end;
  for (; first < count && (words[first][0] == '#' || words[first][0] == '@'); first++)
    *(words[first][0] == '#' ? &name : &domain) = words[first] + 1;
  for (arrow = first; arrow < count && strcmp(words[arrow], "->") != 0;)
    arrow++;
  for (end = arrow; end < count && !strchr(words[end], '=');)
    end++;
  list_of(words + first, arrow - first, inputs, sizeof inputs);
  list_of(words + arrow + 1, end > arrow + 1 ? end - arrow - 1 : 0, outputs, sizeof outputs);
  pb node = pb_node_named(name, domain, words[0], inputs, outputs);
  for (; end < count; end++)
    pb_attr(&node, attribute(words[end]));
  pb_message(graph, 1, node);
}

static void add_statement(pb *graph, char *text) {
  char *words[WORDS_MAX], list[1024];
  size_t count = 0;
  for (char *word = strtok(text, " "); word && count < WORDS_MAX; word = strtok(NULL, " "))
    words[count++] = word;
  if (count == 0)
    return;
  const bool in = strcmp(words[0], "in") == 0;
  if (strcmp(words[0], "init") == 0 && count > 2) {
    add_init(graph, words, count);
  } else if (in || strcmp(words[0], "out") == 0) {
    list_of(words + 3, count > 3 ? count - 3 : 0, list, sizeof list);
    pb bare = {0};
    pb_text(&bare, 1, count > 1 ? words[1] : "");
    if (count > 2)
      pb_message(graph, in ? 11 : 12, pb_value(words[1], (int32_t)strtol(words[2], NULL, 10), list));
    else
      pb_bytes(graph, in ? 11 : 12, bare.data, bare.size);
    pb_free(&bare);
  } else {
    add_node(graph, words, count);
  }
}

pb hostile_graph_proto(const char *text) {
  pb graph = {0};
  pb_text(&graph, 2, "main");
  while (*text) {
    char statement[2048];
    const size_t n = strcspn(text, ";");
    if (n >= sizeof statement)
      abort();
    memcpy(statement, text, n);
    statement[n] = '\0';
    add_statement(&graph, statement);
    text += n;
    text += *text == ';';
  }
  return graph;
}

pb hostile_graph(const char *text) { return pb_model(hostile_graph_proto(text)); }
