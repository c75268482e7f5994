/* sgi_library.c: application libraries: which there are, whether they are what
 * they should be, and loading them. */
#include "sgi_library.h"

#include <unixd.h>
#include <apr_strings.h>

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __LP64__
typedef Elf64_Ehdr elf_header;
#else
typedef Elf32_Ehdr elf_header;
#endif

/* How long it holds what a request has found of a file. */
#define SEEN_SECONDS 1

static sgi_library *first;

void sgi_library_reset(apr_pool_t *pconf)
{
    first = NULL;
}

sgi_library *sgi_library_first(void)
{
    return __atomic_load_n(&first, __ATOMIC_ACQUIRE);
}

sgi_library *sgi_library_declare(apr_pool_t *pool, const char *path, const char *directive,
                                 const char *where)
{
    sgi_library **end = &first, *library;

    for (; *end; end = &(*end)->next) {
        if (!strcmp((*end)->path, path)) return *end;
    }
    library = apr_pcalloc(pool, sizeof(*library));
    library->path = apr_pstrdup(pool, path);
    library->directive = directive;
    library->where = where;
    /* Requests look through the list without a lock while another appends. */
    __atomic_store_n(end, library, __ATOMIC_RELEASE);
    return library;
}

/* Whether this is the file that was seen before, unchanged. */
static int is_same(const apr_finfo_t *seen, const apr_finfo_t *file)
{
    return seen && seen->device == file->device && seen->inode == file->inode
           && seen->mtime == file->mtime && seen->size == file->size;
}

void sgi_library_note_file(sgi_library *library, const request_rec *r)
{
    apr_finfo_t *seen = __atomic_load_n(&library->seen, __ATOMIC_ACQUIRE);

    if (!is_same(seen, &r->finfo)) {
        /* Others may be reading what was there before: that stays. It is one for each version. */
        seen = malloc(sizeof(*seen));
        if (!seen) return;
        *seen = r->finfo;
        __atomic_store_n(&library->seen, seen, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&library->seen_at, r->request_time, __ATOMIC_RELAXED);
}

int sgi_library_recall_file(const sgi_library *library, request_rec *r)
{
    const apr_finfo_t *seen = __atomic_load_n(&library->seen, __ATOMIC_ACQUIRE);
    apr_time_t age = r->request_time - __atomic_load_n(&library->seen_at, __ATOMIC_RELAXED);

    if (!seen || age < 0 || age >= apr_time_from_sec(SEEN_SECONDS)) return 0;
    r->finfo = *seen;
    r->finfo.pool = r->pool;
    r->finfo.fname = r->filename;
    return 1;
}

apr_status_t sgi_library_identify(const char *path, sgi_identity *identity, apr_pool_t *ptemp)
{
    const char *root = ap_unixd_config.chroot_dir;
    apr_finfo_t finfo;
    apr_status_t rv;

    /* The parent stays outside of ChrootDir. */
    if (root) path = apr_pstrcat(ptemp, root, path, NULL);
    rv = apr_stat(&finfo, path, APR_FINFO_NORM, ptemp);
    memset(identity, 0, sizeof(*identity));
    if (rv != APR_SUCCESS && rv != APR_INCOMPLETE) return rv;
    identity->device = finfo.device;
    identity->inode = finfo.inode;
    identity->mtime = finfo.mtime;
    identity->size = finfo.size;
    return APR_SUCCESS;
}

/* ---- what a file is ---- */

static void refuse(sgi_verdict *verdict, sgi_refusal refusal, const char *detail)
{
    verdict->refusal = refusal;
    apr_cpystrn(verdict->detail, detail ? detail : "", sizeof(verdict->detail));
}

static int read_header(const char *path, elf_header *header)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count;

    if (fd < 0) return -1;
    do {
        count = read(fd, header, sizeof(*header));
    } while (count < 0 && errno == EINTR);
    close(fd);
    /* A shorter file leaves zeros, which are no ELF header. */
    if (count < (ssize_t)sizeof(*header)) memset(header, 0, sizeof(*header));
    return 0;
}

/* What dlopen would say too, but in words that name the remedy. */
static void examine(const char *path, sgi_verdict *verdict)
{
    elf_header header, own;
    struct stat status;

    if (stat(path, &status) < 0) {
        refuse(verdict, errno == EACCES ? SGI_UNREADABLE : SGI_MISSING, strerror(errno));
        return;
    }
    if (!S_ISREG(status.st_mode)) {
        refuse(verdict, SGI_NOT_A_LIBRARY, "it is not a regular file");
        return;
    }
    if (status.st_mode & (S_IWGRP | S_IWOTH)) {
        refuse(verdict, SGI_WRITABLE, NULL);
        return;
    }
    if (read_header(path, &header) < 0) {
        refuse(verdict, SGI_UNREADABLE, strerror(errno));
        return;
    }
    if (memcmp(header.e_ident, ELFMAG, SELFMAG)) {
        refuse(verdict, SGI_NOT_A_LIBRARY, "it is not an ELF file");
        return;
    }
    if (read_header("/proc/self/exe", &own) == 0
        && (header.e_ident[EI_CLASS] != own.e_ident[EI_CLASS]
            || header.e_machine != own.e_machine)) {
        refuse(verdict, SGI_WRONG_MACHINE, NULL);
        return;
    }
    if (header.e_type != ET_DYN) {
        refuse(verdict, SGI_NOT_A_LIBRARY, "it is an ELF file of another type");
    }
}

void sgi_library_open(const char *path, sgi_verdict *verdict, void **handle)
{
    memset(verdict, 0, sizeof(*verdict));
    *handle = NULL;
    examine(path, verdict);
    if (verdict->refusal) return;

    /* Not apr_dso_load, which would make the library's symbols everybody's and
     * unload it at the end: Swift code can't be unloaded. */
    *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!*handle) refuse(verdict, SGI_UNLOADABLE, dlerror());
}

void sgi_library_get_table(void *handle, sgi_verdict *verdict,
                           const swiftgi_application_table **table)
{
    const swiftgi_application_table *(*entry)(void);
    apr_size_t length;

    *table = NULL;
    *(void **)&entry = dlsym(handle, SWIFTGI_APPLICATION_SYMBOL);
    if (!entry) {
        refuse(verdict, SGI_NO_SYMBOL, NULL);
        return;
    }
    *table = entry();
    if (!swiftgi_application_is_usable(*table)) {
        apr_snprintf(verdict->detail, sizeof(verdict->detail), "it has %u, the module has %u",
                     *table ? (*table)->abi : 0, SWIFTGI_ABI_VERSION);
        verdict->refusal = SGI_WRONG_ABI;
        *table = NULL;
        return;
    }
    /* A static runtime is hidden inside the library. */
    verdict->is_dynamic = dlsym(handle, "swift_retain") != NULL;
    length = (*table)->compiler.count;
    if (length >= sizeof(verdict->compiler)) length = sizeof(verdict->compiler) - 1;
    if (length) memcpy(verdict->compiler, (*table)->compiler.start, length);
}

int sgi_library_conflict(const char *path_of_a, const sgi_verdict *a, sgi_verdict *b)
{
    if (a->refusal || b->refusal || !a->is_dynamic || !b->is_dynamic
        || !strcmp(a->compiler, b->compiler)) {
        return 0;
    }
    b->refusal = SGI_WRONG_RUNTIME;
    apr_snprintf(b->detail, sizeof(b->detail),
                 "%.120s was built by \"%.120s\", this by \"%.120s\"", path_of_a, a->compiler,
                 b->compiler);
    return 1;
}

/* ---- what the log says ---- */

void sgi_library_log_refusal(const sgi_library *library, const sgi_verdict *verdict, int level,
                             server_rec *s, request_rec *r)
{
    /* Id, cause, remedy; %s is what was found. */
    static const struct {
        const char *id, *cause, *remedy;
    } texts[] = {
        [SGI_MISSING] = { SGI_LOGNO(0001), "does not exist", "build it or correct the path" },
        [SGI_UNREADABLE] = { SGI_LOGNO(0002), "cannot be read by the user that httpd runs as",
                             "make the file readable and its directories searchable for User" },
        [SGI_NOT_A_LIBRARY] = { SGI_LOGNO(0003), "is not a shared library",
                                "name the lib<Name>.so of a dynamic library product" },
        [SGI_WRONG_MACHINE] = { SGI_LOGNO(0004), "was built for another processor",
                                "build it on or for this kind of machine" },
        [SGI_NO_SYMBOL] = { SGI_LOGNO(0005), "does not export " SWIFTGI_APPLICATION_SYMBOL,
                            "export the application as the specification's first example does" },
        [SGI_WRONG_ABI] = { SGI_LOGNO(0006), "has another version of the binary interface",
                            "build it with the SwiftGI that belongs to this module" },
        [SGI_WRONG_RUNTIME] = { SGI_LOGNO(0007),
                                "needs another Swift runtime than one "
                                "already loaded",
                                "build both with one compiler, or with -static-stdlib" },
        [SGI_WRITABLE] = { SGI_LOGNO(0008), "is writable by its group or by others",
                           "chmod go-w" },
        [SGI_UNLOADABLE] = { SGI_LOGNO(0009), "cannot be loaded", "see what the loader says" },
        [SGI_CRASHED] = { SGI_LOGNO(0010), "crashed while it was being loaded",
                          "look at its initialisers" },
        [SGI_HUNG] = { SGI_LOGNO(0011), "did not load in time", "look at its initialisers" },
        [SGI_UNCHECKED] = { SGI_LOGNO(0012), "could not be checked", "see the error" },
        [SGI_ROOT] = { SGI_LOGNO(0013), "would run as root", "set User and Group" },
    };
    const char *opening = verdict->detail[0] ? " (" : "";
    const char *closing = verdict->detail[0] ? ")" : "";
    const char *directive = library->directive ? library->directive : SGI_HANDLER;
    const char *where = library->where ? library->where : "request";
    unsigned n = (unsigned)verdict->refusal;

    if (n == SGI_ACCEPTED || n >= sizeof(texts) / sizeof(texts[0])) n = SGI_UNCHECKED;
    if (r) {
        ap_log_rerror(APLOG_MARK, level, 0, r, "%s%s: %s %s%s%s%s; %s", texts[n].id, directive,
                      library->path, texts[n].cause, opening, verdict->detail, closing,
                      texts[n].remedy);
    }
    else {
        ap_log_error(APLOG_MARK, level, 0, s, "%s%s (%s): %s %s%s%s%s; %s", texts[n].id,
                     directive, where, library->path, texts[n].cause, opening,
                     verdict->detail, closing, texts[n].remedy);
    }
}
