/* sgi_library.h: application libraries: which there are, whether they are what
 * they should be, and loading them. */
#ifndef SGI_LIBRARY_H
#define SGI_LIBRARY_H

#include "sgi_private.h"

#include <apr_file_info.h>
#include <swiftgi.h>

/* Why a library is refused. */
typedef enum sgi_refusal {
    SGI_ACCEPTED,
    SGI_MISSING,
    SGI_UNREADABLE,
    SGI_NOT_A_LIBRARY,
    SGI_WRONG_MACHINE,
    SGI_NO_SYMBOL,
    SGI_WRONG_ABI,
    SGI_WRONG_RUNTIME,
    SGI_WRITABLE,
    SGI_UNLOADABLE,
    SGI_CRASHED,
    SGI_HUNG,
    SGI_UNCHECKED,
    SGI_ROOT
} sgi_refusal;

/* What was found out about a library. Plain memory: it crosses a pipe. */
typedef struct sgi_verdict {
    sgi_refusal refusal;
    int is_dynamic;     /* it uses a Swift runtime outside itself */
    char compiler[128]; /* the build of its compiler */
    char detail[512];   /* more about a refusal, or empty */
} sgi_verdict;

/* What tells one version of a file from another. */
typedef struct sgi_identity {
    apr_dev_t device;
    apr_ino_t inode;
    apr_time_t mtime;
    apr_off_t size;
} sgi_identity;

typedef enum sgi_library_state {
    SGI_UNLOADED, /* not in this process */
    SGI_RUNNING,  /* its application was started */
    SGI_REFUSED,  /* it is not to be loaded: see the log */
    SGI_FAILED    /* its application did not start: see the log */
} sgi_library_state;

/* One application library. Declared while the configuration is read, or at the
 * first request for a file that only a handler names. The part after `state` is
 * of the process that loaded it, written before `state` and constant after; the
 * parent sets the state of what it refuses. */
typedef struct sgi_library {
    const char *path;      /* absolute */
    const char *directive; /* what declared it, or NULL: a request */
    const char *where;     /* file:line of that directive */
    sgi_identity identity; /* the version that was checked at start */
    int is_embedded;       /* boolean: requests for it may be served in httpd itself */
    int *crashes;          /* how often it crashed at its start, counted by all children of
                               this generation; or NULL */
    struct sgi_library *next;

    apr_finfo_t *seen;  /* its file as a request found it, of this process; atomic; or NULL */
    apr_time_t seen_at; /* atomic */

    sgi_library_state state;
    apr_finfo_t finfo; /* as loaded, for the directory walk */
    void *handle;      /* dlopen's */
    const swiftgi_application_table *table;
    swiftgi_server server; /* what the application was given */
    const char *name;      /* of the application, for the log */
} sgi_library;

/* Forgets all libraries; those to come live in `pconf`. */
void sgi_library_reset(apr_pool_t *pconf);

/* The library of this path, declared anew if it was not. */
sgi_library *sgi_library_declare(apr_pool_t *pool, const char *path, const char *directive,
                                 const char *where);

/* The first library; the others follow through `next`. */
sgi_library *sgi_library_first(void);

/* Looks at a file and loads it, which runs its initialisers. On acceptance
 * `*handle` is dlopen's, one and the same for all names of a file. */
void sgi_library_open(const char *path, sgi_verdict *verdict, void **handle);

/* Gets the application of a loaded library, once in a process. */
void sgi_library_get_table(void *handle, sgi_verdict *verdict,
                           const swiftgi_application_table **table);

/* Reads a library's identity, in the parent. */
apr_status_t sgi_library_identify(const char *path, sgi_identity *identity, apr_pool_t *ptemp);

/* What a request finds of its library's file, so that those of the next moment need not ask the
 * system for it: noted, and gotten back. Returns whether it is known. */
void sgi_library_note_file(sgi_library *library, const request_rec *r);
int sgi_library_recall_file(const sgi_library *library, request_rec *r);

/* Logs a refusal with its id, cause and remedy; `r` may be NULL. */
void sgi_library_log_refusal(const sgi_library *library, const sgi_verdict *verdict, int level,
                             server_rec *s, request_rec *r);

/* Whether two libraries can't be in one process, because they share a Swift
 * runtime but were built by different compilers. Writes the verdict of `b`. */
int sgi_library_conflict(const char *path_of_a, const sgi_verdict *a, sgi_verdict *b);

#endif /* SGI_LIBRARY_H */
