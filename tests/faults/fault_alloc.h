/* Allocations of ours that fail on demand, for programs linked with the --wrap options that CMakeLists.txt gives them. */
#ifndef OW_TESTS_FAULT_ALLOC_H
#define OW_TESTS_FAULT_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

/* From now on, allocation number `at` (the first is 1) fails, and with `on` all after it. arenas: what is taken from an arena
 * counts too, though its block may have room, so that every place that allocates fails. */
void fault_alloc_begin(uint64_t at, bool on, bool arenas);
/* How many were asked for since; none fails any more. */
uint64_t fault_alloc_end(void);
/* Allocated and not freed; arenas count by blocks. */
int64_t fault_alloc_held(void);

#endif
