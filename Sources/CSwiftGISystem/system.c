/* system.c: see swiftgi_system.h. */
#define _GNU_SOURCE
#include "swiftgi_system.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdint.h>
#include <sys/auxv.h>

bool swiftgi_is_program(void)
{
    /* The kernel says where the program's headers are. */
    const void *headers = (const void *)(uintptr_t)getauxval(AT_PHDR);
    Dl_info own, program;

    return headers && dladdr((const void *)(uintptr_t)swiftgi_is_program, &own)
           && dladdr(headers, &program) && own.dli_fbase == program.dli_fbase;
}
