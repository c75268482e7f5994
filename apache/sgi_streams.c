/* sgi_streams.c: what applications print, in the log of their request.
 *
 * stdout and stderr are one pair for the whole process. To know whose request a
 * line belongs to, it must be seen on the thread that prints it; a pipe would
 * forget the thread. So the C library's two streams, on which print() and Swift's
 * fatal errors are built, are replaced by streams that call us; and in each
 * application library the references to write() and writev(), which is how
 * Foundation prints, lead to functions of ours that take descriptors 1 and 2 out
 * and pass on the rest. */
#include "sgi_streams.h"
#include "sgi_log.h"

#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__x86_64__)
#define RELOCATION_TYPE(info) ELF64_R_TYPE(info)
#define IS_FUNCTION_REFERENCE(type) \
    ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT)
#elif defined(__aarch64__)
#define RELOCATION_TYPE(info) ELF64_R_TYPE(info)
#define IS_FUNCTION_REFERENCE(type) \
    ((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT)
#endif

/* A line that is written in pieces is put together again up to this length. */
#define LINE_SIZE 1024

static const int stdout_level = APLOG_NOTICE, stderr_level = APLOG_ERR;

/* The line that this thread has begun on a descriptor. */
static __thread struct {
    int fd;
    apr_size_t count;
    char text[LINE_SIZE];
} begun;

static int released;

/* ---- the C library's streams ---- */

static ssize_t write_stream(void *level, const char *data, size_t count)
{
    if (released) return write(STDERR_FILENO, data, count);
    sgi_log_text(*(const int *)level, data, count);
    return (ssize_t)count;
}

static FILE *open_stream(const int *level)
{
    cookie_io_functions_t functions = { .write = write_stream };
    FILE *stream = fopencookie((void *)(uintptr_t)level, "w", functions);

    if (stream) setvbuf(stream, NULL, _IOLBF, BUFSIZ);
    return stream;
}

void sgi_streams_redirect(void)
{
    FILE *out = open_stream(&stdout_level), *err = open_stream(&stderr_level);

    if (out) stdout = out;
    if (err) stderr = err;
    /* Descriptor 1 leads nowhere in a server; what still reaches it is an error. */
    dup2(STDERR_FILENO, STDOUT_FILENO);
}

/* ---- descriptors ---- */

static void flush_line(void)
{
    int level = begun.fd == STDOUT_FILENO ? stdout_level : stderr_level;
    apr_size_t count = begun.count;

    begun.count = 0;
    if (count > 0) sgi_log_text(level, begun.text, count);
}

static void log_piece(int fd, const char *data, apr_size_t count)
{
    const char *end = count > 0 ? memrchr(data, '\n', count) : NULL;
    apr_size_t complete = end ? (apr_size_t)(end - data) + 1 : 0;

    if (begun.count > 0 && (begun.fd != fd || count > sizeof(begun.text) - begun.count)) {
        flush_line();
    }
    begun.fd = fd;
    if (begun.count > 0 && complete > 0) {
        const char *first_end = memchr(data, '\n', count);
        apr_size_t first = (apr_size_t)(first_end - data) + 1;

        memcpy(begun.text + begun.count, data, first);
        begun.count += first;
        flush_line();
        data += first;
        count -= first;
        complete -= first;
    }
    sgi_log_text(fd == STDOUT_FILENO ? stdout_level : stderr_level, data, complete);
    data += complete;
    count -= complete;
    if (count > sizeof(begun.text) - begun.count) {
        sgi_log_text(fd == STDOUT_FILENO ? stdout_level : stderr_level, data, count);
    }
    else if (count > 0) {
        memcpy(begun.text + begun.count, data, count);
        begun.count += count;
    }
}

static int is_captured(int fd)
{
    return (fd == STDOUT_FILENO || fd == STDERR_FILENO) && !released;
}

static ssize_t captured_write(int fd, const void *data, size_t count)
{
    if (!is_captured(fd)) return write(fd, data, count);
    log_piece(fd, data, count);
    return (ssize_t)count;
}

static ssize_t captured_writev(int fd, const struct iovec *pieces, int number)
{
    ssize_t total = 0;
    int i;

    if (!is_captured(fd)) return writev(fd, pieces, number);
    for (i = 0; i < number; i++) {
        log_piece(fd, pieces[i].iov_base, pieces[i].iov_len);
        total += (ssize_t)pieces[i].iov_len;
    }
    return total;
}

void sgi_streams_flush(void)
{
    if (__fpending(stdout) > 0) fflush(stdout);
    if (__fpending(stderr) > 0) fflush(stderr);
    if (begun.count > 0) flush_line();
}

void sgi_streams_release(void)
{
    released = 1;
}

/* ---- a library's references ---- */

#ifdef IS_FUNCTION_REFERENCE

static void *replacement(const char *name)
{
    if (!strcmp(name, "write")) return (void *)(uintptr_t)captured_write;
    if (!strcmp(name, "writev")) return (void *)(uintptr_t)captured_writev;
    return NULL;
}

/* What the loader made read-only after it had resolved the references. */
typedef struct protected_range {
    const struct link_map *map;
    uintptr_t start, end; /* whole pages */
} protected_range;

static int find_protected(struct dl_phdr_info *info, size_t size, void *data)
{
    uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    protected_range *range = data;
    int i;

    if (info->dlpi_addr != range->map->l_addr) return 0;
    for (i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];

        if (header->p_type != PT_GNU_RELRO) continue;
        range->start = (info->dlpi_addr + header->p_vaddr) & ~(page_size - 1);
        range->end = (info->dlpi_addr + header->p_vaddr + header->p_memsz) & ~(page_size - 1);
    }
    return 1;
}

static int protect(const protected_range *range, int protection)
{
    return range->start == range->end
               ? 0
               : mprotect((void *)range->start, range->end - range->start, protection);
}

static void capture(const struct link_map *map, const ElfW(Rela) *relocations, size_t size,
                    const ElfW(Sym) *symbols, const char *names)
{
    size_t i;

    for (i = 0; relocations && i < size / sizeof(*relocations); i++) {
        const ElfW(Rela) *relocation = &relocations[i];
        void *function;

        if (!IS_FUNCTION_REFERENCE(RELOCATION_TYPE(relocation->r_info))) continue;
        function = replacement(names + symbols[ELF64_R_SYM(relocation->r_info)].st_name);
        if (function) *(void **)(map->l_addr + relocation->r_offset) = function;
    }
}

void sgi_streams_capture(void *handle)
{
    struct link_map *map;
    protected_range range = { .start = 0 };
    const ElfW(Dyn) *entry;
    const ElfW(Rela) *calls = NULL, *others = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    size_t calls_size = 0, others_size = 0;

    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) < 0) return;
    for (entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        switch (entry->d_tag) {
        case DT_JMPREL: calls = (const void *)entry->d_un.d_ptr; break;
        case DT_PLTRELSZ: calls_size = entry->d_un.d_val; break;
        case DT_RELA: others = (const void *)entry->d_un.d_ptr; break;
        case DT_RELASZ: others_size = entry->d_un.d_val; break;
        case DT_SYMTAB: symbols = (const void *)entry->d_un.d_ptr; break;
        case DT_STRTAB: names = (const void *)entry->d_un.d_ptr; break;
        default: break;
        }
    }
    range.map = map;
    dl_iterate_phdr(find_protected, &range);
    if (!symbols || !names || protect(&range, PROT_READ | PROT_WRITE) < 0) return;
    capture(map, calls, calls_size, symbols, names);
    capture(map, others, others_size, symbols, names);
    protect(&range, PROT_READ);
}

#else

/* Elsewhere descriptors 1 and 2 are the main error log. */
void sgi_streams_capture(void *handle)
{
}

#endif
