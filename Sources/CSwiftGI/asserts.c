/* What both sides of the interface rely on, checked where it is compiled. */
#include "swiftgi.h"

_Static_assert(sizeof(swiftgi_status) == 4, "statuses are 32 bits wide");
_Static_assert(sizeof(swiftgi_level) == 4, "levels are 32 bits wide");
_Static_assert(sizeof(swiftgi_bytes) == 2 * sizeof(void *), "bytes are a pointer and a count");
_Static_assert(offsetof(swiftgi_server, abi) == 0, "the version comes first");
_Static_assert(offsetof(swiftgi_application_table, abi) == 0, "the version comes first");
_Static_assert(offsetof(swiftgi_server, size) == 8, "the size comes second");
_Static_assert(offsetof(swiftgi_application_table, size) == 8, "the size comes second");
