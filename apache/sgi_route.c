/* sgi_route.c: which requests go to which process group.
 *
 * Daemons are started before there are requests, by a process that takes no orders from
 * httpd's children. So which library runs in which group has to be known from the
 * configuration alone: for a group that the server or an alias names it is, for one that a
 * section names it is if the section has all of the alias. Where it depends on the request,
 * the daemons are started with the first connection. */
#include "sgi_route.h"
#include "sgi_config.h"

#include <http_core.h>
#include <apr_fnmatch.h>
#include <apr_strings.h>

#define EMBEDDED "%{GLOBAL}"

static sgi_route *first;

void sgi_route_reset(apr_pool_t *pconf)
{
    first = NULL;
}

sgi_route *sgi_route_declare(cmd_parms *cmd, const char *name, const char **wrong)
{
    sgi_route **end = &first, *route;
    const ap_directive_t *section = cmd->directive->parent;

    *wrong = NULL;
    if (strcmp(name, EMBEDDED)) {
        *wrong = sgi_group_check_name(cmd->pool, name);
        if (*wrong) {
            *wrong = apr_pstrcat(cmd->pool, *wrong, "; " EMBEDDED " is httpd itself", NULL);
            return NULL;
        }
    }
    route = apr_pcalloc(cmd->pool, sizeof(*route));
    route->name = name;
    route->is_embedded = !strcmp(name, EMBEDDED);
    route->directive = cmd->cmd->name;
    route->where =
        apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename, cmd->directive->line_num);
    route->server = cmd->server;
    if (cmd->path) {
        route->section = section ? section->directive : "";
        route->path = cmd->path;
    }
    while (*end) end = &(*end)->next;
    *end = route;
    return route;
}

/* ---- the whole configuration ---- */

static int is_same_host(const server_rec *a, const server_rec *b)
{
    return a == b
           || (a->server_hostname && b->server_hostname
               && !ap_cstr_casecmp(a->server_hostname, b->server_hostname));
}

/* A group of a virtual host is for it alone, under whatever port. */
static int is_visible(const sgi_group *group, const server_rec *s)
{
    return !group->server->is_virtual || is_same_host(group->server, s);
}

static void find_group(sgi_route *route)
{
    const sgi_group *group = sgi_group_find(route->name);

    route->group =
        !route->is_embedded && group && is_visible(group, route->server) ? group : NULL;
}

/* Whether what a section has begins with its path, at the end of a segment. */
static int is_below(const char *path, const char *section)
{
    apr_size_t length = strlen(section);

    while (length > 0 && section[length - 1] == '/') length--;
    return !strncmp(path, section, length) && (path[length] == '/' || path[length] == '\0');
}

typedef enum cover { NOTHING, PERHAPS, EVERYTHING } cover;

/* How much of an alias's requests a section has. */
static cover covers(const sgi_route *route, const sgi_alias *alias)
{
    int is_plain = !apr_fnmatch_test(route->path) && route->path[0] == '/';

    if (is_plain && !ap_cstr_casecmp(route->section, "<Directory")) {
        if (!alias->library) return PERHAPS;
        return is_below(alias->library->path, route->path) ? EVERYTHING : NOTHING;
    }
    if (is_plain && !ap_cstr_casecmp(route->section, "<Location") && alias->path) {
        if (is_below(alias->path, route->path)) return EVERYTHING;
        return is_below(route->path, alias->path) ? PERHAPS : NOTHING;
    }
    return PERHAPS;
}

/* Whether the sections of a route's server concern `s`, whose own come after the main
 * server's. */
static int applies_to(const sgi_route *route, const server_rec *s, int own)
{
    return own ? route->server == s && s->is_virtual : !route->server->is_virtual;
}

/* The route that all requests of an alias take unless a section that has only some of them
 * says otherwise; in httpd's order: the server's, <Directory> from the shortest to the longest,
 * <Location> in the order of the file. */
static const sgi_route *route_of(const server_rec *s, const sgi_alias *alias)
{
    const sgi_dir_config *config = ap_get_module_config(s->lookup_defaults, &swiftgi_module);
    const sgi_route *best = config->process_group, *route;
    apr_size_t longest = 0;
    int own;

    if (alias->process_group) return alias->process_group;
    for (own = 0; own < 2; own++) {
        for (route = first; route; route = route->next) {
            if (!route->section || ap_cstr_casecmp(route->section, "<Directory")
                || !applies_to(route, s, own) || covers(route, alias) != EVERYTHING
                || strlen(route->path) < longest) {
                continue;
            }
            best = route;
            longest = strlen(route->path);
        }
    }
    for (own = 0; own < 2; own++) {
        for (route = first; route; route = route->next) {
            if (route->section && !ap_cstr_casecmp(route->section, "<Location")
                && applies_to(route, s, own) && covers(route, alias) == EVERYTHING) {
                best = route;
            }
        }
    }
    return best;
}

static void resolve_alias(apr_pool_t *pconf, const server_rec *s, const sgi_alias *alias)
{
    const sgi_route *route = route_of(s, alias), *other;

    if (!alias->library) return;
    if (!route || route->is_embedded) {
        if (!sgi_config_global()->restrict_embedded) alias->library->is_embedded = 1;
    }
    else if (route->group && !route->group->command) {
        sgi_group_add_backend(pconf, route->group, alias->library->path)->on_demand = 0;
    }
    if (alias->process_group) return;
    for (other = first; other; other = other->next) {
        if (other->section && other->group && !other->group->command
            && (applies_to(other, s, 0) || applies_to(other, s, 1))
            && covers(other, alias) != NOTHING) {
            sgi_group_add_backend(pconf, other->group, alias->library->path);
        }
    }
}

int sgi_route_resolve(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    sgi_route *route;
    int i;

    sgi_group_complete(pconf);
    for (route = first; route; route = route->next) find_group(route);
    for (; s; s = s->next) {
        const sgi_server_config *config =
            ap_get_module_config(s->module_config, &swiftgi_module);

        for (i = 0; i < config->aliases->nelts; i++) {
            resolve_alias(pconf, s, &APR_ARRAY_IDX(config->aliases, i, sgi_alias));
        }
    }
    return OK;
}

/* ---- what can be wrong ---- */

static int is_permitted(const apr_array_header_t *names, const char *name)
{
    int i;

    for (i = 0; names && i < names->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(names, i, const char *), name)) return 1;
    }
    return !names;
}

static int check_kind(server_rec *s, int level, const sgi_route *route)
{
    int is_for_servers = !strcmp(route->directive, "SwiftGIServerAlias");

    if (is_for_servers == (route->group->command != NULL)) return 0;
    if (is_for_servers) {
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0446)
                     "%s (%s): the process group %s runs libraries; give it command=, or use "
                     "SwiftGIScriptAlias", route->directive, route->where, route->name);
    }
    else {
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0447)
                     "%s (%s): the process group %s runs a command and no libraries; "
                     "SwiftGIServerAlias leads to it", route->directive, route->where, route->name);
    }
    return 1;
}

static int check_route(server_rec *s, int level, const sgi_route *route)
{
    const sgi_group *group = sgi_group_find(route->name);

    if (route->is_embedded) return 0;
    if (route->group) return check_kind(s, level, route);
    if (!group) {
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0440)
                     "%s (%s): there is no process group %s; define it with SwiftGIDaemonProcess",
                     route->directive, route->where, route->name);
    }
    else {
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0441)
                     "%s (%s): the process group %s belongs to another virtual host (%s); define it "
                     "outside of virtual hosts, or one for this",
                     route->directive, route->where, route->name, group->where);
    }
    return 1;
}

static int check_proxy(server_rec *s, int level, const sgi_alias *alias)
{
    static const char *const modules[] = { "mod_proxy.c", "mod_proxy_http.c" };
    const sgi_route *route = alias->process_group;
    int mistakes = 0;
    apr_size_t i;

    for (i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
        if (ap_find_linked_module(modules[i])) continue;
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0448)
                     "%s (%s): requests reach HTTP servers through %.*s, which is not there; load it "
                     "with LoadModule", route->directive, route->where,
                     (int)strlen(modules[i]) - 2, modules[i]);
        mistakes++;
    }
    return mistakes;
}

static int check_alias(server_rec *s, int level, const sgi_alias *alias)
{
    const sgi_dir_config *config = ap_get_module_config(s->lookup_defaults, &swiftgi_module);
    const sgi_route *route = route_of(s, alias);

    if (!route || route->is_embedded) {
        if (!sgi_config_global()->restrict_embedded) return 0;
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0442)
                     "SwiftGIRestrictEmbedded: %s would run in httpd itself; give it a group by "
                     "process-group= or SwiftGIProcessGroup", alias->target);
        return 1;
    }
    if (alias->is_server && check_proxy(s, level, alias)) return 1;
    if (!alias->library && !alias->is_server) {
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0444)
                     "%s (%s): the library %s depends on the request, and a process group's must "
                     "not; write an alias for each library", route->directive, route->where,
                     alias->target);
        return 1;
    }
    if (!is_permitted(config->permitted_groups, route->name)) {
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0443)
                     "%s (%s): SwiftGIRestrictProcess does not permit the process group %s here",
                     route->directive, route->where, route->name);
        return 1;
    }
    return 0;
}

int sgi_route_check(server_rec *s, int level)
{
    const sgi_route *route;
    server_rec *each;
    int i, mistakes = sgi_group_check(s, level);

    for (route = first; route; route = route->next) mistakes += check_route(s, level, route);
    for (each = s; each; each = each->next) {
        const sgi_server_config *config =
            ap_get_module_config(each->module_config, &swiftgi_module);

        for (i = 0; i < config->aliases->nelts; i++) {
            mistakes +=
                check_alias(each, level, &APR_ARRAY_IDX(config->aliases, i, const sgi_alias));
        }
    }
    return mistakes;
}

/* ---- a request ---- */

int sgi_route_select(request_rec *r, const sgi_alias *alias, const sgi_dir_config *config,
                     const sgi_group **group)
{
    const sgi_route *route =
        alias && alias->process_group ? alias->process_group : config->process_group;
    int is_embedded = !route || route->is_embedded;

    *group = NULL;
    if (config->permitted_groups
        && !is_permitted(config->permitted_groups, is_embedded ? EMBEDDED : route->name)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0452)
                      "SwiftGIRestrictProcess does not permit the process group %s here",
                      is_embedded ? EMBEDDED : route->name);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (is_embedded) {
        if (!sgi_config_global()->restrict_embedded) return OK;
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0450)
                      "SwiftGIRestrictEmbedded: %s would run in httpd itself", r->filename);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!route->group) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, SGI_LOGNO(0451)
                      "%s (%s): there is no process group %s here", route->directive,
                      route->where, route->name);
        return HTTP_SERVICE_UNAVAILABLE;
    }
    *group = route->group;
    return OK;
}
