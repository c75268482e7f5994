/* sgi_group.c: process groups: SwiftGIDaemonProcess and its options. */
#include "sgi_group.h"
#include "sgi_envfile.h"

#include <http_core.h>
#include <unixd.h>
#include <apr_strings.h>

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_LIMIT 32

static struct {
    sgi_group *first;
    sgi_backend *backends;
    const char *socket_directory; /* NULL: the default */
    const char *launcher;         /* NULL: the default */
    const char *supervisor;
    const char *default_directory, *default_launcher;
} groups;

void sgi_group_reset(apr_pool_t *pconf)
{
    memset(&groups, 0, sizeof(groups));
}

sgi_group *sgi_group_first(void)
{
    return groups.first;
}

const sgi_group *sgi_group_find(const char *name)
{
    const sgi_group *group = groups.first;

    while (group && strcmp(group->name, name)) group = group->next;
    return group;
}

/* ---- options ---- */

typedef enum kind {
    NUMBER, /* int */
    COUNT,  /* apr_int64_t */
    TIME,   /* apr_interval_time_t */
    SIZE,   /* apr_int64_t, bytes */
    MASK,   /* int, octal */
    TEXT,
    USER,
    USER_GROUP,
    USER_GROUPS,
    DIRECTORY,
    VARIABLE,
    FILE_OF_VARIABLES,
    BACKTRACE,
    COMMAND,
    URL_PATH
} kind;

#define DAY apr_time_from_sec(86400)
#define MEMBER(name) APR_OFFSETOF(sgi_group, name)

/* Why a group with a command has no use for some. */
#define OWN_OPTIONS "the command's own options say so"
#define PROXY_TIMEOUT "ProxyTimeout says how long httpd waits for a command"
#define UNSEEN "the requests of a command are not counted; use restart-interval"
#define OWN_NAME "a command has the name of its program"

/* All options: where the value goes, what is permitted, and whether "off" is, too; and, if a
 * group with a command may not have it, why. */
static const struct option {
    const char *name;
    kind kind;
    apr_size_t member;
    apr_int64_t low, high;
    int can_be_off;
    const char *not_of_commands;
} options[] = {
    { "processes", NUMBER, MEMBER(processes), 1, 1024, 0, NULL },
    { "threads", NUMBER, MEMBER(threads), 1, 1024, 0, OWN_OPTIONS },
    { "user", USER, MEMBER(user), 0, 0, 0, NULL },
    { "group", USER_GROUP, MEMBER(user_group), 0, 0, 0, NULL },
    { "supplementary-groups", USER_GROUPS, MEMBER(supplementary), 0, 0, 0, NULL },
    { "umask", MASK, MEMBER(file_mask), 0, 0777, 0, NULL },
    { "home", DIRECTORY, MEMBER(home), 0, 0, 0, NULL },
    { "env", VARIABLE, MEMBER(environment), 0, 0, 0, NULL },
    { "env-file", FILE_OF_VARIABLES, MEMBER(env_file), 0, 0, 0, NULL },
    { "display-name", TEXT, MEMBER(display_name), 0, 0, 0, OWN_NAME },
    { "queue-limit", NUMBER, MEMBER(queue_limit), 1, 1000000, 0, NULL },
    { "queue-timeout", TIME, MEMBER(queue_timeout), 1000, DAY, 1, NULL },
    { "startup-timeout", TIME, MEMBER(startup_timeout), 1000, DAY, 0, NULL },
    { "request-timeout", TIME, MEMBER(request_timeout), 1000, DAY, 1, PROXY_TIMEOUT },
    { "io-timeout", TIME, MEMBER(io_timeout), 1000, DAY, 1, PROXY_TIMEOUT },
    { "inactivity-timeout", TIME, MEMBER(inactivity_timeout), 1000, 30 * DAY, 1, UNSEEN },
    { "restart-interval", TIME, MEMBER(restart_interval), 1000, 366 * DAY, 1, NULL },
    { "maximum-requests", COUNT, MEMBER(maximum_requests), 1, APR_INT64_C(1) << 53, 1, UNSEEN },
    { "max-rss", SIZE, MEMBER(max_rss), 1 << 20, APR_INT64_C(1) << 53, 1, NULL },
    { "cpu-time-limit", TIME, MEMBER(cpu_time_limit), 10000, 366 * DAY, 1, NULL },
    { "drain-timeout", TIME, MEMBER(drain_timeout), 1000, DAY, 0, NULL },
    { "shutdown-timeout", TIME, MEMBER(shutdown_timeout), 1000, DAY, 0, NULL },
    { "backtrace", BACKTRACE, MEMBER(backtrace), 0, 0, 0, NULL },
    { "command", COMMAND, MEMBER(command), 0, 0, 0, NULL },
    { "ready-path", URL_PATH, MEMBER(ready_path), 0, 0, 0, NULL },
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

static void set_defaults(sgi_group *group, apr_pool_t *pool)
{
    group->processes = 1;
    group->threads = 8;
    group->file_mask = 022;
    group->home = "/";
    group->display_name = "%{GROUP}";
    group->queue_limit = 100;
    group->queue_timeout = apr_time_from_sec(30);
    group->startup_timeout = apr_time_from_sec(30);
    group->request_timeout = apr_time_from_sec(60);
    group->io_timeout = apr_time_from_sec(60);
    group->drain_timeout = apr_time_from_sec(30);
    group->shutdown_timeout = apr_time_from_sec(5);
    group->environment = apr_array_make(pool, 4, sizeof(const char *));
}

typedef struct unit {
    const char *name;
    apr_int64_t factor;
} unit;

/* A whole number with one of these units, from low to high; or -1. */
static apr_int64_t parse_number(const char *text, const unit *units, apr_int64_t low,
                                apr_int64_t high)
{
    char *end;
    apr_int64_t number;

    if (!isdigit((unsigned char)*text)) return -1;
    errno = 0;
    number = apr_strtoi64(text, &end, 10);
    if (errno) return -1;
    for (; units->name; units++) {
        if (ap_cstr_casecmp(end, units->name)) continue;
        if (__builtin_mul_overflow(number, units->factor, &number)) return -1;
        return number < low || number > high ? -1 : number;
    }
    return -1;
}

static const unit no_units[] = { { "", 1 }, { NULL, 0 } };
static const unit size_units[] = {
    { "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 }, { NULL, 0 }
};
static const unit time_units[] = {
    { "", 1000000 },
    { "ms", 1000 },
    { "s", 1000000 },
    { "m", 60 * 1000000LL },
    { "mi", 60 * 1000000LL },
    { "h", 3600 * 1000000LL },
    { "d", 86400 * 1000000LL },
    { NULL, 0 },
};

static const char *time_text(apr_pool_t *pool, apr_int64_t time)
{
    if (time % DAY == 0) return apr_psprintf(pool, "%" APR_INT64_T_FMT "d", time / DAY);
    return apr_psprintf(pool, "%" APR_INT64_T_FMT "ms", time / 1000);
}

static const char *set_time(apr_pool_t *pool, const struct option *option, void *member,
                            const char *value)
{
    apr_int64_t number = parse_number(value, time_units, option->low, option->high);

    if (number < 0) {
        return apr_psprintf(pool, "it must be a time from %s to %s, as in 30s, 500ms or 2h%s",
                            time_text(pool, option->low), time_text(pool, option->high),
                            option->can_be_off ? ", or off" : "");
    }
    *(apr_interval_time_t *)member = number;
    return NULL;
}

static const char *set_number(apr_pool_t *pool, const struct option *option, void *member,
                              const char *value)
{
    apr_int64_t number = parse_number(value, option->kind == SIZE ? size_units : no_units,
                                      option->low, option->high);

    if (number < 0) {
        return option->kind == SIZE
                   ? "it must be a size of at least 1M, in bytes or as in 512M or 2G, or off"
                   : apr_psprintf(pool,
                                  "it must be a whole number from %" APR_INT64_T_FMT
                                  " to %" APR_INT64_T_FMT "%s",
                                  option->low, option->high,
                                  option->can_be_off ? ", or off" : "");
    }
    if (option->kind == NUMBER) *(int *)member = (int)number;
    else *(apr_int64_t *)member = number;
    return NULL;
}

static const char *set_mask(void *member, const char *value)
{
    char *end;
    unsigned long mask = strtoul(value, &end, 8);

    if (!isdigit((unsigned char)*value) || *end || mask > 0777) {
        return "it must be an octal number from 0 to 0777";
    }
    *(int *)member = (int)mask;
    return NULL;
}

/* "#1000" is a number, as in httpd's User. */
static int parse_id(const char *name, apr_int64_t *id)
{
    char *end;

    if (name[0] != '#' || !isdigit((unsigned char)name[1])) return 0;
    errno = 0;
    *id = apr_strtoi64(name + 1, &end, 10);
    return !errno && !*end && *id < APR_UINT32_MAX;
}

static int find_user(const char *name, struct passwd **entry, uid_t *uid)
{
    apr_int64_t id;

    if (parse_id(name, &id)) {
        *uid = (uid_t)id;
        *entry = getpwuid(*uid);
        return 1;
    }
    *entry = getpwnam(name);
    if (!*entry) return 0;
    *uid = (*entry)->pw_uid;
    return 1;
}

static int find_group(const char *name, gid_t *gid)
{
    const struct group *entry;
    apr_int64_t id;

    if (parse_id(name, &id)) {
        *gid = (gid_t)id;
        return 1;
    }
    entry = getgrnam(name);
    if (entry) *gid = entry->gr_gid;
    return entry != NULL;
}

static const char *check_user(apr_pool_t *pool, const char *value)
{
    struct passwd *entry;
    uid_t uid;

    if (!find_user(value, &entry, &uid)) {
        return "there is no such user; name one, or give the number as in #1000";
    }
    if (uid == 0) return "applications do not run as root; name another user";
    if (geteuid() != 0 && uid != geteuid()) {
        return "only httpd that is started by root can run processes as another user; start it so "
               "or leave the option out";
    }
    return NULL;
}

static const char *check_group(apr_pool_t *pool, const char *value)
{
    gid_t gid;

    if (!find_group(value, &gid)) {
        return apr_psprintf(pool,
                            "there is no group %s; name one, or give the number as in #1000",
                            value);
    }
    if (geteuid() != 0 && gid != getegid()) {
        return "only httpd that is started by root can run processes with another group; start it "
               "so or leave the option out";
    }
    return NULL;
}

/* Takes the names apart; NULL or what is wrong. */
static const char *for_each_group(apr_pool_t *pool, const char *names, gid_t *gids, int *count)
{
    char *rest, *name;

    *count = 0;
    if (!strcmp(names, "none")) return NULL;
    for (name = apr_strtok(apr_pstrdup(pool, names), ",", &rest); name;
         name = apr_strtok(NULL, ",", &rest)) {
        gid_t gid;

        if (*count == SGI_ACCOUNT_GROUPS) {
            return apr_psprintf(pool, "there may be at most %d groups", SGI_ACCOUNT_GROUPS);
        }
        if (!find_group(name, &gid)) return check_group(pool, name);
        gids[(*count)++] = gid;
    }
    return *count ? NULL : "it must be the names of groups, with commas, or none";
}

static const char *set_groups(apr_pool_t *pool, void *member, const char *value)
{
    gid_t gids[SGI_ACCOUNT_GROUPS];
    int count;
    const char *wrong = for_each_group(pool, value, gids, &count);

    if (wrong) return wrong;
    if (geteuid() != 0) {
        return "only httpd that is started by root can set the groups of processes; start it so or "
               "leave the option out";
    }
    *(const char **)member = value;
    return NULL;
}

static const char *set_directory(apr_pool_t *pool, void *member, const char *value)
{
    struct stat status;

    if (value[0] != '/') return "it must be an absolute path";
    if (stat(value, &status) < 0 || !S_ISDIR(status.st_mode)) {
        return "there is no such directory; make it or correct the path";
    }
    *(const char **)member = value;
    return NULL;
}

static const char *add_variable(apr_pool_t *pool, void *member, const char *value)
{
    apr_array_header_t *environment = *(apr_array_header_t **)member;
    const char *equals = strchr(value, '=');

    if (!equals || !sgi_envfile_is_name(value, (size_t)(equals - value))) {
        return "it must be NAME=value, the name of letters, digits and _";
    }
    APR_ARRAY_PUSH(environment, const char *) = value;
    return NULL;
}

static void ignore(void *context, const char *variable)
{
}

static const char *set_file(apr_pool_t *pool, void *member, const char *value)
{
    const char *path = ap_server_root_relative(pool, value);
    char problem[160];

    if (!path) return "it must be the path of a file";
    /* The supervisor reads it again for each process: the secrets in it are not for
     * httpd's children. */
    if (sgi_envfile_read(path, ignore, NULL, problem, sizeof(problem)) < 0) {
        return apr_psprintf(pool, "%s; it must be a file with lines NAME=value", problem);
    }
    *(const char **)member = path;
    return NULL;
}

static const char *set_backtrace(void *member, const char *value)
{
    if (ap_cstr_casecmp(value, "on") && ap_cstr_casecmp(value, "off") && value[0] != '/') {
        return "it must be on, off or the absolute path of swift-backtrace";
    }
    *(const char **)member = value;
    return NULL;
}

static const char *set_command(apr_pool_t *pool, const char *value, sgi_group *group)
{
    const char *rest = value;

    if (value[0] == '"' || value[0] == '\'') {
        return "put the quotation marks around all of it, as in \"command=/path/of/program "
               "--option\"";
    }
    group->words = apr_array_make(pool, 8, sizeof(const char *));
    while (*rest) {
        APR_ARRAY_PUSH(group->words, const char *) = ap_getword_conf(pool, &rest);
    }
    if (group->words->nelts < 1 || APR_ARRAY_IDX(group->words, 0, const char *)[0] != '/') {
        return "it must begin with the absolute path of a program";
    }
    group->command = value;
    return NULL;
}

static const char *set_url_path(void *member, const char *value)
{
    const char *c;

    for (c = value; *c > ' ' && *c < 0x7F;) c++;
    if (value[0] != '/' || *c || c - value > 512) {
        return "it must be a URL path, as in /health, of at most 512 characters";
    }
    *(const char **)member = value;
    return NULL;
}

/* NULL or what is wrong with the value. */
static const char *set_option(apr_pool_t *pool, const struct option *option, sgi_group *group,
                              const char *value)
{
    void *member = (char *)group + option->member;
    const char *wrong = NULL;

    if (!*value) return "it has no value";
    if (option->can_be_off && !ap_cstr_casecmp(value, "off")) {
        /* All that can be off are 64 bits wide. */
        *(apr_int64_t *)member = 0;
        return NULL;
    }
    switch (option->kind) {
    case NUMBER:
    case COUNT:
    case SIZE: return set_number(pool, option, member, value);
    case TIME: return set_time(pool, option, member, value);
    case MASK: return set_mask(member, value);
    case USER: wrong = check_user(pool, value); break;
    case USER_GROUP: wrong = check_group(pool, value); break;
    case USER_GROUPS: return set_groups(pool, member, value);
    case DIRECTORY: return set_directory(pool, member, value);
    case VARIABLE: return add_variable(pool, member, value);
    case FILE_OF_VARIABLES: return set_file(pool, member, value);
    case BACKTRACE: return set_backtrace(member, value);
    case COMMAND: return set_command(pool, value, group);
    case URL_PATH: return set_url_path(member, value);
    case TEXT: break;
    }
    if (!wrong) *(const char **)member = value;
    return wrong;
}

/* ---- directives ---- */

static const char *error(cmd_parms *cmd, const char *what, const char *wrong)
{
    return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", what ? what : "", what ? ": " : "",
                       wrong, NULL);
}

const char *sgi_group_check_name(apr_pool_t *pool, const char *name)
{
    apr_size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789._-");

    /* It becomes part of a file's name. */
    if (length > 0 && length <= NAME_LIMIT && !name[length] && name[0] != '.') return NULL;
    return apr_psprintf(pool,
                        "\"%s\" cannot name a process group: it takes 1 to %d letters, digits, "
                        "'.', '_' and '-', with no '.' first",
                        name, NAME_LIMIT);
}

static const struct option *find_option(const char *name, apr_size_t length)
{
    apr_size_t i;

    for (i = 0; i < OPTION_COUNT; i++) {
        if (!strncmp(options[i].name, name, length) && !options[i].name[length]) {
            return &options[i];
        }
    }
    return NULL;
}

static const char *option_names(apr_pool_t *pool)
{
    const char *names = options[0].name;
    apr_size_t i;

    for (i = 1; i < OPTION_COUNT; i++) {
        names = apr_pstrcat(pool, names, " ", options[i].name, NULL);
    }
    return names;
}

/* Whether a word or a variable of a group has the text. */
static int has_text(const sgi_group *group, const char *text)
{
    int i;

    for (i = 0; i < group->words->nelts; i++) {
        if (strstr(APR_ARRAY_IDX(group->words, i, const char *), text)) return 1;
    }
    for (i = 0; i < group->environment->nelts; i++) {
        if (strstr(APR_ARRAY_IDX(group->environment, i, const char *), text)) return 1;
    }
    return 0;
}

/* What only some groups may have; NULL: nothing is wrong. */
static const char *check_kind(cmd_parms *cmd, sgi_group *group, const char *seen)
{
    apr_size_t i;
    int has_socket;

    if (!group->command) {
        return group->ready_path ? error(cmd, "ready-path", "it is for groups with command=")
                                 : NULL;
    }
    for (i = 0; i < OPTION_COUNT; i++) {
        if (!seen[i] || !options[i].not_of_commands) continue;
        return error(cmd, options[i].name, options[i].not_of_commands);
    }
    has_socket = has_text(group, "%{socket}");
    group->has_port = has_text(group, "%{port}");
    if (has_socket != group->has_port) return NULL;
    return error(cmd, "command",
                 has_socket
                     ? "it has both %{socket} and %{port}; keep one of them"
                     : "the program must be told where to listen: put %{socket}, the path "
                       "of a Unix socket, or %{port}, a port of 127.0.0.1, into the command "
                       "or into env=");
}

static const char *parse_options(cmd_parms *cmd, sgi_group *group, int argc, char *const argv[])
{
    char seen[OPTION_COUNT] = { 0 };
    int i;

    for (i = 0; i < argc; i++) {
        const char *equals = strchr(argv[i], '='), *wrong;
        apr_size_t length = equals ? (apr_size_t)(equals - argv[i]) : strlen(argv[i]);
        const struct option *option = find_option(argv[i], length);

        if (!option) {
            return error(cmd, apr_pstrmemdup(cmd->pool, argv[i], length),
                         apr_pstrcat(cmd->pool, "there is no such option; there are ",
                                     option_names(cmd->pool), NULL));
        }
        if (!equals) return error(cmd, option->name, "it has no value; write option=value");
        if (seen[option - options]++ && option->kind != VARIABLE) {
            return error(cmd, option->name, "it is given twice; keep one of them");
        }
        wrong = set_option(cmd->pool, option, group, equals + 1);
        if (wrong) return error(cmd, argv[i], wrong);
    }
    return check_kind(cmd, group, seen);
}

const char *sgi_group_define(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    const sgi_group *other;
    sgi_group *group, **end = &groups.first;

    if (wrong) return wrong;
    if (argc < 1) return error(cmd, "name", "it is missing; write the group's name first");
    wrong = sgi_group_check_name(cmd->pool, argv[0]);
    if (wrong) return error(cmd, NULL, wrong);
    other = sgi_group_find(argv[0]);
    if (other) {
        return error(cmd, argv[0],
                     apr_psprintf(cmd->pool,
                                  "there is a process group of this name (%s); give it another",
                                  other->where));
    }
    group = apr_pcalloc(cmd->pool, sizeof(*group));
    group->name = argv[0];
    group->server = cmd->server;
    group->where =
        apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename, cmd->directive->line_num);
    set_defaults(group, cmd->pool);
    wrong = parse_options(cmd, group, argc - 1, argv + 1);
    if (wrong) return wrong;
    while (*end) end = &(*end)->next;
    *end = group;
    return NULL;
}

const char *sgi_group_set_socket_directory(cmd_parms *cmd, void *dir, const char *path)
{
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_VIRTUALHOST | NOT_IN_DIR_CONTEXT);

    if (wrong) return wrong;
    groups.socket_directory = ap_runtime_dir_relative(cmd->pool, path);
    if (!groups.socket_directory) return error(cmd, path, "it must be the path of a directory");
    return NULL;
}

const char *sgi_group_set_launcher(cmd_parms *cmd, void *dir, const char *path)
{
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_VIRTUALHOST | NOT_IN_DIR_CONTEXT);

    if (wrong) return wrong;
    if (path[0] != '/') {
        return error(cmd, path, "it must be the absolute path of the program swiftgi-run");
    }
    groups.launcher = path;
    return NULL;
}

/* ---- what is known only when all was read ---- */

static void find_supplementary(sgi_account *account, const struct passwd *entry)
{
    int count = SGI_ACCOUNT_GROUPS;

    account->group_count = 0;
    if (!entry) return;
    /* A user of more groups gets the first of them. */
    if (getgrouplist(entry->pw_name, account->gid, account->groups, &count) < 0) {
        count = SGI_ACCOUNT_GROUPS;
    }
    account->group_count = count;
}

static void complete(sgi_group *group, apr_pool_t *pconf)
{
    sgi_account *account = &group->account;
    struct passwd *entry = NULL;

    if (!strcmp(group->display_name, "%{GROUP}")) {
        group->display_name = apr_pstrcat(pconf, "(swiftgi:", group->name, ")", NULL);
    }
    if (geteuid() != 0) {
        account->uid = geteuid();
        account->gid = getegid();
        return;
    }
    group->changes_user = 1;
    if (group->user) {
        find_user(group->user, &entry, &account->uid);
        account->gid = entry ? entry->pw_gid : ap_unixd_config.group_id;
    }
    else {
        account->uid = ap_unixd_config.user_id;
        account->gid = ap_unixd_config.group_id;
        entry = getpwuid(account->uid);
    }
    if (group->user_group) find_group(group->user_group, &account->gid);
    if (entry) {
        account->name = apr_pstrdup(pconf, entry->pw_name);
        account->home = apr_pstrdup(pconf, entry->pw_dir);
    }
    if (group->supplementary) {
        for_each_group(pconf, group->supplementary, account->groups, &account->group_count);
    }
    else find_supplementary(account, entry);
}

/* Programs that were installed with the module stand beside it; the launcher also where
 * programs for people are. */
static const char *find_beside_module(apr_pool_t *pool, const char *name)
{
    Dl_info info;

    if (!dladdr(&swiftgi_module, &info) || !info.dli_fname) return name;
    return apr_pstrcat(pool, ap_make_dirstr_parent(pool, info.dli_fname), name, NULL);
}

static const char *find_launcher(apr_pool_t *pool)
{
    static const char name[] = "swiftgi-run";
    const char *directories[] = { "/usr/bin/", "/usr/local/bin/" };
    const char *path = find_beside_module(pool, name);
    apr_size_t i;

    for (i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        if (access(path, X_OK) == 0) return path;
        path = apr_pstrcat(pool, directories[i], name, NULL);
    }
    return path;
}

void sgi_group_complete(apr_pool_t *pconf)
{
    sgi_group *group;

    groups.backends = NULL;
    groups.default_directory = ap_runtime_dir_relative(pconf, "swiftgi");
    groups.default_launcher = find_launcher(pconf);
    groups.supervisor = find_beside_module(pconf, "swiftgi-supervisor");
    for (group = groups.first; group; group = group->next) {
        complete(group, pconf);
        if (!group->command) continue;
        sgi_group_add_backend(pconf, group, APR_ARRAY_IDX(group->words, 0, const char *))
            ->on_demand = 0;
    }
}

const char *sgi_group_socket_directory(void)
{
    return groups.socket_directory ? groups.socket_directory : groups.default_directory;
}

const char *sgi_group_launcher(void)
{
    return groups.launcher ? groups.launcher : groups.default_launcher;
}

const char *sgi_group_supervisor(void)
{
    return groups.supervisor;
}

/* ---- backends ---- */

/* Every version of the module gives a library's socket the same name. */
static apr_uint64_t hash(const char *text)
{
    apr_uint64_t value = APR_UINT64_C(0xcbf29ce484222325);

    for (; *text; text++) {
        value = (value ^ (unsigned char)*text) * APR_UINT64_C(0x100000001b3);
    }
    return value;
}

const sgi_backend *sgi_group_backend(const sgi_group *group, const char *library)
{
    const sgi_backend *backend = groups.backends;

    while (backend && (backend->group != group || strcmp(backend->library, library))) {
        backend = backend->next;
    }
    return backend;
}

sgi_backend *sgi_group_add_backend(apr_pool_t *pconf, const sgi_group *group,
                                   const char *library)
{
    sgi_backend *backend = (sgi_backend *)sgi_group_backend(group, library);

    if (backend) return backend;
    backend = apr_pcalloc(pconf, sizeof(*backend));
    backend->group = group;
    backend->library = library;
    backend->turns = group->command ? apr_pcalloc(pconf, sizeof(sgi_turns)) : NULL;
    backend->socket =
        group->command
            ? apr_psprintf(pconf, "%s/%s.http", sgi_group_socket_directory(), group->name)
            : apr_psprintf(pconf, "%s/%s.%016" APR_UINT64_T_HEX_FMT ".sock",
                           sgi_group_socket_directory(), group->name, hash(library));
    backend->on_demand = 1;
    backend->next = groups.backends;
    groups.backends = backend;
    return backend;
}

const sgi_backend *sgi_group_server(const sgi_group *group)
{
    return sgi_group_backend(group, APR_ARRAY_IDX(group->words, 0, const char *));
}

sgi_backend *sgi_group_backends(void)
{
    return groups.backends;
}

/* ---- what can be wrong ---- */

/* Root runs it: nobody else may be able to change it. */
static const char *check_program(const char *path)
{
    struct stat status;

    if (stat(path, &status) < 0) return strerror(errno);
    if (!S_ISREG(status.st_mode) || !(status.st_mode & S_IXUSR)) return "it is no program";
    if (status.st_mode & S_IWOTH) return "others may write to it";
    if (geteuid() == 0 && (status.st_uid != 0 || status.st_mode & S_IWGRP)) {
        return status.st_uid != 0 ? "it does not belong to root" : "its group may write to it";
    }
    return NULL;
}

/* It runs as somebody who may not be able to change it either. */
static const char *check_command(const char *path)
{
    struct stat status;

    if (stat(path, &status) < 0) return strerror(errno);
    if (!S_ISREG(status.st_mode) || !(status.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
        return "it is no program";
    return status.st_mode & S_IWOTH ? "others may write to it" : NULL;
}

static int check_commands(server_rec *s, int level)
{
    const sgi_backend *backend;
    const char *wrong;
    int mistakes = 0;

    for (backend = groups.backends; backend; backend = backend->next) {
        if (!backend->group->command || !(wrong = check_command(backend->library))) continue;
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0445)
                     "SwiftGIDaemonProcess %s (%s): the program %s of its command cannot be run: %s",
                     backend->group->name, backend->group->where, backend->library, wrong);
        mistakes++;
    }
    return mistakes;
}

static int runs_libraries(void)
{
    const sgi_backend *backend = groups.backends;

    while (backend && backend->group->command) backend = backend->next;
    return backend != NULL;
}

int sgi_group_check(server_rec *s, int level)
{
    const sgi_backend *backend;
    const sgi_group *group;
    const char *wrong;
    struct sockaddr_un address;
    int mistakes = 0;

    for (group = groups.first; group; group = group->next) {
        if (group->changes_user && group->account.uid == 0) {
            ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0430)
                         "SwiftGIDaemonProcess %s (%s): its processes would run as root; set User or "
                         "user=", group->name, group->where);
            mistakes++;
        }
    }
    if (!groups.backends) return mistakes;
    if ((wrong = check_program(sgi_group_supervisor())) != NULL) {
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0431)
                     "SwiftGIDaemonProcess: %s cannot be run: %s; install it beside the module",
                     sgi_group_supervisor(), wrong);
        mistakes++;
    }
    mistakes += check_commands(s, level);
    if (runs_libraries() && (wrong = check_program(sgi_group_launcher())) != NULL) {
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0432)
                     "SwiftGILauncher: %s cannot be run: %s; name the program swiftgi-run",
                     sgi_group_launcher(), wrong);
        mistakes++;
    }
    for (backend = groups.backends; backend; backend = backend->next) {
        apr_size_t length = strlen(backend->socket);

        /* Its sockets stand in directories. */
        if (backend->group->command) length += sizeof("-XXXXXX/s") - 1;
        if (length < sizeof(address.sun_path)) continue;
        ap_log_error(APLOG_MARK, level, 0, s, SGI_LOGNO(0433)
                     "SwiftGISocketDirectory: %s is too long for the path of a socket, which has "
                     "at most %d characters; name a shorter directory",
                     backend->socket, (int)sizeof(address.sun_path) - 1);
        mistakes++;
    }
    return mistakes;
}
