/* sgi_config.c: directives, and how their settings are inherited. */
#include "sgi_config.h"

#include <http_core.h>
#include <apr_strings.h>

/* As long as a client takes that asks for one thing after the other. */
#define KEEPALIVE_WAIT_MILLISECONDS 5

static sgi_global_config global;

int sgi_config_reset(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    static const sgi_global_config unset = { .keepalive_wait =
                                                 KEEPALIVE_WAIT_MILLISECONDS * 1000 };

    global = unset;
    sgi_library_reset(pconf);
    sgi_group_reset(pconf);
    sgi_route_reset(pconf);
    return OK;
}

const sgi_global_config *sgi_config_global(void)
{
    return &global;
}

/* ---- inheritance ---- */

void *sgi_config_create_dir(apr_pool_t *pool, char *path)
{
    sgi_dir_config *config = apr_palloc(pool, sizeof(*config));

#define SGI_UNSET(type, name, unset, standard) config->name = unset;
    SGI_DIR_SETTINGS(SGI_UNSET)
    return config;
}

void *sgi_config_merge_dir(apr_pool_t *pool, void *base_config, void *add_config)
{
    const sgi_dir_config *base = base_config, *add = add_config;
    sgi_dir_config *config = apr_palloc(pool, sizeof(*config));

#define SGI_MERGE(type, name, unset, standard) \
    config->name = add->name == (unset) ? base->name : add->name;
    SGI_DIR_SETTINGS(SGI_MERGE)
    /* The list belongs to the switch beside it: "On" without a list must not
     * inherit one. */
    if (add->error_override != -1) config->error_statuses = add->error_statuses;
    return config;
}

const sgi_dir_config *sgi_config_for(request_rec *r)
{
    const sgi_dir_config *merged = ap_get_module_config(r->per_dir_config, &swiftgi_module);
    sgi_dir_config *config = apr_palloc(r->pool, sizeof(*config));

#define SGI_DEFAULT(type, name, unset, standard) \
    config->name = merged->name == (unset) ? (standard) : merged->name;
    SGI_DIR_SETTINGS(SGI_DEFAULT)
    return config;
}

void *sgi_config_create_server(apr_pool_t *pconf, server_rec *s)
{
    sgi_server_config *config = apr_palloc(pconf, sizeof(*config));

    config->aliases = apr_array_make(pconf, 4, sizeof(sgi_alias));
    return config;
}

void *sgi_config_merge_server(apr_pool_t *pconf, void *base_config, void *add_config)
{
    const sgi_server_config *base = base_config, *add = add_config;
    sgi_server_config *config = apr_palloc(pconf, sizeof(*config));

    config->aliases = apr_array_append(pconf, add->aliases, base->aliases);
    return config;
}

/* ---- directives ---- */

static const char *error(cmd_parms *cmd, const char *message)
{
    return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", message, NULL);
}

static const char *server_only(cmd_parms *cmd)
{
    return ap_check_cmd_context(cmd, NOT_IN_VIRTUALHOST | NOT_IN_DIR_CONTEXT);
}

/* The library that a target names for every request, or NULL if it varies. */
static sgi_library *library_of(cmd_parms *cmd, const char *target)
{
    const char *where =
        apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename, cmd->directive->line_num);

    return sgi_library_declare(cmd->pool, target, cmd->cmd->name, where);
}

static const char no_target[] = "the library must be the path of a file";

/* Another alias of the server, with its target only; NULL if that is NULL. */
static sgi_alias *push_alias(sgi_server_config *config, const char *target)
{
    sgi_alias *alias;

    if (!target) return NULL;
    alias = apr_array_push(config->aliases);
    memset(alias, 0, sizeof(*alias));
    alias->target = target;
    return alias;
}

/* The options behind an alias's library. */
static const char *set_alias_option(cmd_parms *cmd, sgi_alias *alias, const char *option)
{
    static const char process_group[] = "process-group=";
    const char *wrong = NULL;

    if (!option) return NULL;
    if (strncmp(option, process_group, sizeof(process_group) - 1)) {
        return error(cmd, apr_psprintf(cmd->pool,
                                       "\"%s\" is no option; there is process-group=", option));
    }
    alias->process_group = sgi_route_declare(cmd, option + sizeof(process_group) - 1, &wrong);
    return wrong ? error(cmd, apr_pstrcat(cmd->pool, "process-group: ", wrong, NULL)) : NULL;
}

/* httpd takes "." and ".." out of the paths that aliases are compared with. */
static int has_dot_segment(const char *path)
{
    const char *segment = path;

    while ((segment = ap_strchr_c(segment, '/')) != NULL) {
        apr_size_t length = strcspn(++segment, "/");

        if (length > 0 && length <= 2 && !strncmp(segment, "..", length)) return 1;
    }
    return 0;
}

static apr_size_t length_without_slashes(const char *path)
{
    apr_size_t length = strlen(path);

    while (length > 0 && path[length - 1] == '/') length--;
    return length;
}

/* NULL, or what is wrong with the path of an alias. */
static const char *check_path(cmd_parms *cmd, const sgi_server_config *config, const char *path)
{
    apr_size_t length = length_without_slashes(path);
    const sgi_alias *alias;
    int i;

    if (path[0] != '/') {
        return error(cmd, "the URL path must begin with a slash");
    }
    if (has_dot_segment(path)) {
        return error(cmd, "the URL path must not have the segments . and .., which httpd "
                          "removes from what it is compared with");
    }
    for (i = 0; i < config->aliases->nelts; i++) {
        alias = &APR_ARRAY_IDX(config->aliases, i, const sgi_alias);
        if (alias->path && alias->path_length == length
            && !strncmp(alias->path, path, length)) {
            return error(cmd, apr_psprintf(cmd->pool, "%s already has an application here: %s",
                                           path, alias->target));
        }
    }
    return NULL;
}

static void set_path(apr_pool_t *pool, sgi_alias *alias, const char *path)
{
    alias->path_length = length_without_slashes(path);
    alias->path = apr_pstrmemdup(pool, path, alias->path_length);
}

static const char *add_alias(cmd_parms *cmd, void *dir, const char *path, const char *target,
                             const char *option)
{
    sgi_server_config *config =
        ap_get_module_config(cmd->server->module_config, &swiftgi_module);
    const char *wrong = check_path(cmd, config, path);
    sgi_alias *alias;

    if (wrong) return wrong;
    alias = push_alias(config, ap_server_root_relative(cmd->pool, target));
    if (!alias) return error(cmd, no_target);
    set_path(cmd->pool, alias, path);
    alias->library = library_of(cmd, alias->target);
    return set_alias_option(cmd, alias, option);
}

static const char *add_server_alias(cmd_parms *cmd, void *dir, const char *path,
                                    const char *group, const char *option)
{
    static const char server_path[] = "path=";
    sgi_server_config *config =
        ap_get_module_config(cmd->server->module_config, &swiftgi_module);
    const char *wrong = check_path(cmd, config, path);
    sgi_alias *alias;

    if (wrong) return wrong;
    wrong = sgi_group_check_name(cmd->pool, group);
    if (wrong) return error(cmd, wrong);
    alias = push_alias(config, group);
    set_path(cmd->pool, alias, path);
    alias->is_server = 1;
    alias->process_group = sgi_route_declare(cmd, group, &wrong);
    if (wrong) return error(cmd, wrong);
    if (!option) return NULL;
    if (strncmp(option, server_path, sizeof(server_path) - 1)) {
        return error(cmd,
                     apr_psprintf(cmd->pool, "\"%s\" is no option; there is path=", option));
    }
    option += sizeof(server_path) - 1;
    if (option[0] != '/' || has_dot_segment(option)) {
        return error(cmd, "path: it must begin with a slash and have no segments . and ..");
    }
    alias->server_path = apr_pstrmemdup(cmd->pool, option, length_without_slashes(option));
    return NULL;
}

static const char *add_alias_match(cmd_parms *cmd, void *dir, const char *pattern,
                                   const char *target, const char *option)
{
    sgi_server_config *config =
        ap_get_module_config(cmd->server->module_config, &swiftgi_module);
    ap_regex_t *compiled = ap_pregcomp(cmd->pool, pattern, AP_REG_EXTENDED);
    sgi_alias *alias;

    if (!compiled) {
        return error(cmd, apr_psprintf(cmd->pool, "\"%s\" is no regular expression", pattern));
    }
    alias = push_alias(config, ap_server_root_relative(cmd->pool, target));
    if (!alias) return error(cmd, no_target);
    alias->pattern = compiled;
    if (!strchr(alias->target, '$')) alias->library = library_of(cmd, alias->target);
    return set_alias_option(cmd, alias, option);
}

static const char *set_switch(cmd_parms *cmd, void *dir, const char *value)
{
    int *setting = (int *)((char *)dir + (apr_size_t)cmd->info);

    if (!ap_cstr_casecmp(value, "on")) *setting = SGI_ON;
    else if (!ap_cstr_casecmp(value, "off")) *setting = SGI_OFF;
    else if (!ap_cstr_casecmp(value, "auto")) *setting = SGI_AUTO;
    else return error(cmd, "the value must be On, Off or Auto");
    return NULL;
}

static const char *set_error_override(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    sgi_dir_config *config = dir;
    apr_array_header_t *statuses;
    int i;

    if (argc == 1 && !ap_cstr_casecmp(argv[0], "off")) {
        config->error_override = 0;
        config->error_statuses = NULL;
        return NULL;
    }
    if (argc < 1 || ap_cstr_casecmp(argv[0], "on")) {
        return error(cmd, "the value must be Off, On, or On and the statuses to override");
    }
    statuses = apr_array_make(cmd->pool, argc, sizeof(int));
    for (i = 1; i < argc; i++) {
        char *end;
        apr_int64_t status = apr_strtoi64(argv[i], &end, 10);

        if (*end || status < 400 || status > 599) {
            return error(cmd, apr_psprintf(cmd->pool, "\"%s\" is no status from 400 to 599",
                                           argv[i]));
        }
        APR_ARRAY_PUSH(statuses, int) = (int)status;
    }
    config->error_override = 1;
    config->error_statuses = argc > 1 ? statuses : NULL;
    return NULL;
}

/* A time, seconds if it has no unit; 0: "Off". Returns whether it is one, up to `most`. */
static int parse_time(const char *value, apr_interval_time_t most, apr_interval_time_t *time)
{
    *time = 0;
    if (!ap_cstr_casecmp(value, "off")) return 1;
    /* Where a number is too large for it, httpd reads another one. */
    return strspn(value, "0123456789") <= 9
           && ap_timeout_parameter_parse(value, time, "s") == APR_SUCCESS && *time > 0
           && *time <= most;
}

static const char *set_request_timeout(cmd_parms *cmd, void *dir, const char *value)
{
    sgi_dir_config *config = dir;
    apr_interval_time_t timeout;

    if (!parse_time(value, apr_time_from_sec(365 * 24 * 3600), &timeout)) {
        return error(cmd,
                     apr_psprintf(cmd->pool,
                                  "\"%s\" is no time: the value must be Off, or a number of "
                                  "seconds or with a unit, as in 30s or 500ms, up to a year",
                                  value));
    }
    config->request_timeout = timeout;
    return NULL;
}

static const char *set_keepalive_wait(cmd_parms *cmd, void *dir, const char *value)
{
    const char *err = server_only(cmd);

    if (err) return err;
    if (!parse_time(value, apr_time_from_sec(1), &global.keepalive_wait)) {
        return error(cmd, apr_psprintf(cmd->pool,
                                       "\"%s\" is no time: the value must be Off, or a number "
                                       "with a unit, as in 2ms, up to a second",
                                       value));
    }
    return NULL;
}

static const char *set_backtrace(cmd_parms *cmd, void *dir, const char *value)
{
    const char *err = server_only(cmd);

    if (err) return err;
    global.backtracer = NULL;
    if (!ap_cstr_casecmp(value, "off")) {
        global.backtrace = 0;
        return NULL;
    }
    global.backtrace = 1;
    if (ap_cstr_casecmp(value, "on")) {
        if (value[0] != '/') {
            return error(cmd,
                         "the value must be On, Off or the absolute path of swift-backtrace");
        }
        global.backtracer = value;
    }
    return NULL;
}

static const char *set_reload(cmd_parms *cmd, void *dir, int value)
{
    const char *err = server_only(cmd);

    if (err) return err;
    global.reload = value;
    return NULL;
}

static const char *set_restrict_embedded(cmd_parms *cmd, void *dir, int value)
{
    const char *err = server_only(cmd);

    if (err) return err;
    global.restrict_embedded = value;
    return NULL;
}

static const char *set_process_group(cmd_parms *cmd, void *dir, const char *name)
{
    sgi_dir_config *config = dir;
    const char *wrong;

    config->process_group = sgi_route_declare(cmd, name, &wrong);
    return wrong ? error(cmd, wrong) : NULL;
}

static const char *set_restrict_process(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    sgi_dir_config *config = dir;
    apr_array_header_t *names = apr_array_make(cmd->pool, argc + 1, sizeof(const char *));
    int i;

    if (argc < 1) {
        return error(cmd, "the value must be names of process groups, or %{GLOBAL} for httpd "
                          "itself");
    }
    for (i = 0; i < argc; i++) {
        const char *wrong =
            strcmp(argv[i], "%{GLOBAL}") ? sgi_group_check_name(cmd->pool, argv[i]) : NULL;

        if (wrong) return error(cmd, wrong);
        APR_ARRAY_PUSH(names, const char *) = argv[i];
    }
    config->permitted_groups = names;
    return NULL;
}

#define OFFSET(name) (void *)APR_OFFSETOF(sgi_dir_config, name)

const command_rec sgi_config_commands[] = {
    AP_INIT_TAKE23("SwiftGIScriptAlias", add_alias, NULL, RSRC_CONF,
                   "A URL path and the application library that serves what lies below it; "
                   "process-group=name says who runs it. The longest path that matches wins."),
    AP_INIT_TAKE23("SwiftGIScriptAliasMatch", add_alias_match, NULL, RSRC_CONF,
                   "A regular expression for URL paths and the application library that serves "
                   "them, in which $1 to $9 stand for what the groups matched; "
                   "process-group=name says who runs it."),
    AP_INIT_TAKE23("SwiftGIServerAlias", add_server_alias, NULL, RSRC_CONF,
                   "A URL path and the process group whose HTTP servers answer what lies below "
                   "it; path= is what they see in its place."),
    AP_INIT_TAKE_ARGV(
        "SwiftGIDaemonProcess", sgi_group_define, NULL, RSRC_CONF,
        "The name of a group of processes that run applications outside of httpd, "
        "and its options."),
    AP_INIT_TAKE1("SwiftGIProcessGroup", set_process_group, NULL, RSRC_CONF | ACCESS_CONF,
                  "The process group that runs the applications here; %{GLOBAL}, the default, "
                  "for httpd itself."),
    AP_INIT_FLAG("SwiftGIRestrictEmbedded", set_restrict_embedded, NULL, RSRC_CONF,
                 "On to permit no application in httpd itself; Off by default."),
    AP_INIT_TAKE_ARGV("SwiftGIRestrictProcess", set_restrict_process, NULL,
                      RSRC_CONF | ACCESS_CONF,
                      "The process groups that may run applications here; any by default."),
    AP_INIT_TAKE1("SwiftGISocketDirectory", sgi_group_set_socket_directory, NULL, RSRC_CONF,
                  "The directory for the sockets of the process groups; swiftgi below "
                  "DefaultRuntimeDir by default."),
    AP_INIT_TAKE1("SwiftGILauncher", sgi_group_set_launcher, NULL, RSRC_CONF,
                  "The path of swiftgi-run, which runs a library as a process of a group; by "
                  "default it stands beside the module or in /usr/bin."),
    AP_INIT_TAKE1("SwiftGIPassAuthorization", set_switch, OFFSET(pass_authorization),
                  OR_FILEINFO,
                  "Whether applications see the Authorization field: On, Off, or Auto (the "
                  "default): unless httpd itself authenticates the location."),
    AP_INIT_TAKE_ARGV("SwiftGIErrorOverride", set_error_override, NULL, OR_FILEINFO,
                      "On to replace the bodies of applications' responses with status 400 to "
                      "599, or with the statuses listed, by ErrorDocument's; Off by default."),
    AP_INIT_TAKE1("SwiftGIMapHEADToGET", set_switch, OFFSET(map_head_to_get), OR_FILEINFO,
                  "Whether applications see HEAD requests as GET: On, Off, or Auto (the "
                  "default): if an output filter needs to see the content."),
    AP_INIT_TAKE1("SwiftGIRequestTimeout", set_request_timeout, NULL, OR_FILEINFO,
                  "How long a request may take whose handler is asynchronous, in seconds or "
                  "with a unit; Off, the default, for any time."),
    AP_INIT_TAKE1("SwiftGIKeepAliveWait", set_keepalive_wait, NULL, RSRC_CONF,
                  "How long a thread waits for the next request of a client, before the "
                  "connection goes back to the MPM; Off for not at all, 5ms by default."),
    AP_INIT_TAKE1("SwiftGIBacktrace", set_backtrace, NULL, RSRC_CONF,
                  "On, or the path of swift-backtrace, to log a Swift backtrace when an "
                  "application crashes; Off by default."),
    AP_INIT_FLAG("SwiftGIReload", set_reload, NULL, RSRC_CONF,
                 "On to restart gracefully when an application library was replaced; Off by "
                 "default."),
    { NULL }
};
