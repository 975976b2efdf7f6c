/* The version of the headers a program was compiled with; onward_version() tells the one of the library. */
#ifndef ONWARD_VERSION_H
#define ONWARD_VERSION_H

#define ONWARD_VERSION_MAJOR 0
#define ONWARD_VERSION_MINOR 1
#define ONWARD_VERSION_PATCH 0
#define ONWARD_VERSION_STRING "0.1.0"

#endif
