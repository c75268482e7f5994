/* sgi_target.c: which application a request is for, and how its path splits into
 * SCRIPT_NAME and PATH_INFO. */
#include "sgi_target.h"
#include "sgi_config.h"
#include "sgi_embedded.h"
#include "sgi_http.h"

#include <http_core.h>
#include <http_request.h>
#include <util_script.h>
#include <apr_strings.h>

/* mod_alias's: the handler that an alias forces. */
#define ALIAS_NOTE "alias-forced-type"

/* What an alias matched of a URL path. */
typedef struct match {
    const sgi_alias *alias;
    apr_size_t length; /* of the matched text, from `start` */
    apr_size_t start;
    ap_regmatch_t groups[AP_MAX_REG_MATCH]; /* of a pattern */
} match;

static int match_path(const sgi_alias *alias, const char *uri)
{
    apr_size_t n = alias->path_length;

    return !strncmp(alias->path, uri, n) && (uri[n] == '/' || uri[n] == '\0');
}

/* Whether what lies behind is a PATH_INFO: "^/ap" has nothing to do with /apple. */
static int ends_at_segment(const char *uri, apr_size_t end)
{
    return uri[end] == '\0' || uri[end] == '/' || (end > 0 && uri[end - 1] == '/');
}

/* The longest text wins; among equals a path before a pattern, and otherwise the
 * one that stands first, where a virtual host's own stand before inherited ones. */
static int find_alias(const apr_array_header_t *aliases, const char *uri, match *best)
{
    int i;

    best->alias = NULL;
    for (i = 0; i < aliases->nelts; i++) {
        const sgi_alias *alias = &APR_ARRAY_IDX(aliases, i, const sgi_alias);
        ap_regmatch_t groups[AP_MAX_REG_MATCH];
        apr_size_t length;

        if (alias->path) {
            length = alias->path_length;
            if (best->alias
                && (best->length > length || (best->length == length && best->alias->path))) {
                continue;
            }
            if (!match_path(alias, uri)) continue;
            best->start = 0;
        }
        else {
            if (ap_regexec(alias->pattern, uri, AP_MAX_REG_MATCH, groups, 0)) continue;
            length = (apr_size_t)(groups[0].rm_eo - groups[0].rm_so);
            if (best->alias && best->length >= length) continue;
            if (!ends_at_segment(uri, (apr_size_t)groups[0].rm_eo)) continue;
            best->start = (apr_size_t)groups[0].rm_so;
            memcpy(best->groups, groups, sizeof(groups));
        }
        best->alias = alias;
        best->length = length;
    }
    return best->alias != NULL;
}

static const char *without_slashes(apr_pool_t *pool, const char *text, apr_size_t length)
{
    while (length > 0 && text[length - 1] == '/') length--;
    return apr_pstrmemdup(pool, text, length);
}

/* What the aliases make of the request's path, kept for the handler; NULL if no
 * alias matches. */
static sgi_target *target_of_alias(request_rec *r, match *found)
{
    const sgi_server_config *config =
        ap_get_module_config(r->server->module_config, &swiftgi_module);
    sgi_target *target;
    const char *behind;

    if (r->uri[0] != '/' || !find_alias(config->aliases, r->uri, found)) return NULL;
    target = apr_pcalloc(r->pool, sizeof(*target));
    target->alias = found->alias;
    target->library = found->alias->library;
    behind = r->uri + found->start + found->length;
    if (found->alias->path) {
        target->script_name = found->alias->path;
    }
    else {
        target->script_name = without_slashes(r->pool, r->uri, found->start + found->length);
        /* "^/app/" takes the slash along that PATH_INFO begins with. */
        if (behind > r->uri && behind[-1] == '/') behind--;
    }
    target->path_info = behind;
    ap_set_module_config(r->request_config, &swiftgi_module, target);
    return target;
}

int sgi_target_translate(request_rec *r)
{
    sgi_target *target;
    match found;

    if (r->proxyreq || !(target = target_of_alias(r, &found))) return DECLINED;
    if (found.alias->is_server) return sgi_http_translate(r, found.alias, target->path_info);
    r->filename = found.alias->library ? apr_pstrdup(r->pool, found.alias->library->path)
                                       : ap_pregsub(r->pool, found.alias->target, r->uri,
                                                    AP_MAX_REG_MATCH, found.groups);
    if (!r->filename) return HTTP_INTERNAL_SERVER_ERROR;
    r->canonical_filename = r->filename;
    if (target->library) {
        if (*target->path_info) r->path_info = apr_pstrdup(r->pool, target->path_info);
        /* A library that this child has loaded is a file: the directory walk need
         * not ask the system again. */
        if (sgi_embedded_state(target->library) == SGI_RUNNING) {
            r->finfo = target->library->finfo;
        }
        else {
            target->is_recalled = sgi_library_recall_file(target->library, r);
        }
    }
    r->handler = SGI_HANDLER;
    apr_table_setn(r->notes, ALIAS_NOTE, r->handler);
    return OK;
}

const sgi_alias *sgi_target_server(request_rec *r)
{
    const sgi_target *target = ap_get_module_config(r->request_config, &swiftgi_module);
    match found;

    /* As for a library's request. */
    if (!target) target = target_of_alias(r, &found);
    return target && target->alias && target->alias->is_server ? target->alias : NULL;
}

/* A file that only a handler names: SetHandler, AddHandler, RewriteRule. */
static int target_of_file(request_rec *r, sgi_target **target)
{
    const char *path_info = r->path_info ? r->path_info : "";

    if (!(ap_allow_options(r) & OPT_EXECCGI)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0030)
                      "%s: Options ExecCGI is off here", r->filename);
        return HTTP_FORBIDDEN;
    }
    *target = apr_pcalloc(r->pool, sizeof(**target));
    (*target)->script_name =
        without_slashes(r->pool, r->uri, (apr_size_t)ap_find_path_info(r->uri, path_info));
    (*target)->path_info = path_info;
    ap_set_module_config(r->request_config, &swiftgi_module, *target);
    return OK;
}

int sgi_target_resolve(request_rec *r, const sgi_target **result)
{
    sgi_target *target = ap_get_module_config(r->request_config, &swiftgi_module);
    const char *note = apr_table_get(r->notes, ALIAS_NOTE);
    match found;
    int status;

    /* mod_dir's FallbackResource and DirectoryIndex replace the request by what a
     * look-up made of another path, but for what modules keep with it. */
    if (!target && note && !strcmp(note, SGI_HANDLER)
        && (target = target_of_alias(r, &found)) != NULL) {
        /* The look-up has found the file, maybe without asking the system. */
        target->is_recalled = 1;
    }
    if (!target && (status = target_of_file(r, &target)) != OK) return status;
    if (r->finfo.filetype != APR_REG) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0031)
                      "%s: there is no such application library", r->filename);
        return HTTP_NOT_FOUND;
    }
    if (target->library && !target->is_recalled
        && sgi_embedded_state(target->library) != SGI_RUNNING) {
        sgi_library_note_file(target->library, r);
    }
    if (r->used_path_info == AP_REQ_REJECT_PATH_INFO && r->path_info && *r->path_info) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0032)
                      "%s: AcceptPathInfo is off here", r->uri);
        return HTTP_NOT_FOUND;
    }
    if (!target->library) {
        /* The substitution of a pattern went on behind the library's name. */
        if (r->path_info && *r->path_info) {
            apr_size_t length = strlen(r->uri), rest = strlen(r->path_info);

            if (length >= rest && !strcmp(r->uri + length - rest, r->path_info)) {
                target->script_name = without_slashes(r->pool, r->uri, length - rest);
            }
            target->path_info = r->path_info;
        }
    }
    *result = target;
    return OK;
}
