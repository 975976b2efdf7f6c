/* What of a graph cannot run here, in words. */
#ifndef OW_GRAPH_SURVEY_H
#define OW_GRAPH_SURVEY_H

#include "graph/op.h"

/* One finding: operator, types, nodes, and what can be done. text is gone afterwards. */
typedef void (*ow_survey_fn)(void *context, const char *text);

/* Every operator that is missing, and every node that its row refuses, as far as types are known. The graph is not to be run after
 * this. false: no memory. */
bool ow_graph_survey(ow_graph *graph, const ow_registry *registry, ow_survey_fn fn, void *context);

#endif
