/* swiftgi_system.h: what the system has and Swift's Glibc module lacks. */
#ifndef SWIFTGI_SYSTEM_H
#define SWIFTGI_SYSTEM_H

#include <stdbool.h>

/* Whether the code that this function is linked with is part of the process's program;
 * false: of a library that was loaded into it. On any thread. */
bool swiftgi_is_program(void);

#endif /* SWIFTGI_SYSTEM_H */
