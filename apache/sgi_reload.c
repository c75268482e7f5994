/* sgi_reload.c: noticing that an application library was replaced, and starting a
 * new generation of children if the new one is good. */
#include "sgi_reload.h"
#include "sgi_check.h"
#include "sgi_config.h"

#include <ap_mpm.h>
#include <mpm_common.h>

#include <signal.h>
#include <unistd.h>

/* A file that was written to within this time may not be complete. */
#define SETTLING_TIME apr_time_from_sec(1)

static int has_changed(const sgi_library *library, sgi_identity *present, apr_pool_t *ptemp)
{
    const sgi_identity *known = &library->identity;

    /* A file that is away is about to come back: it is not a new version. */
    if (sgi_library_identify(library->path, present, ptemp) != APR_SUCCESS) return 0;
    if (present->inode == known->inode && present->device == known->device
        && present->mtime == known->mtime && present->size == known->size) {
        return 0;
    }
    return present->mtime > apr_time_now() || apr_time_now() - present->mtime >= SETTLING_TIME;
}

int sgi_reload_monitor(apr_pool_t *p, server_rec *s)
{
    sgi_library *library;
    apr_pool_t *ptemp;
    int state, replaced = 0, refused = 0;

    if (!sgi_config_global()->reload || ap_mpm_query(AP_MPMQ_MPM_STATE, &state) != APR_SUCCESS
        || state != AP_MPMQ_RUNNING) {
        return DECLINED;
    }
    apr_pool_create(&ptemp, p);
    for (library = sgi_library_first(); library; library = library->next) {
        sgi_identity present;
        sgi_verdict verdict;

        /* Those that only daemons run are the supervisor's business. */
        if (!library->is_embedded || !has_changed(library, &present, ptemp)) continue;
        /* Whatever the verdict: this version has had its chance. */
        library->identity = present;
        sgi_check_library(library->path, NULL, &verdict);
        library->state = verdict.refusal ? SGI_REFUSED : SGI_UNLOADED;
        if (verdict.refusal) {
            sgi_library_log_refusal(library, &verdict, APLOG_ERR, s, NULL);
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, SGI_LOGNO(0051)
                         "SwiftGIReload: the new %s is refused: the one that runs goes on, and "
                         "children to come do without", library->path);
            continue;
        }
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, SGI_LOGNO(0050)
                     "SwiftGIReload: %s was replaced, restarting gracefully once no new library "
                     "is refused", library->path);
        replaced = 1;
    }
    apr_pool_destroy(ptemp);
    for (library = sgi_library_first(); library; library = library->next) {
        refused += library->state == SGI_REFUSED;
    }
    /* A restart would end what still runs of a refused library. */
    if (replaced && !refused) kill(getpid(), AP_SIG_GRACEFUL);
    return DECLINED;
}
