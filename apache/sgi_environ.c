/* sgi_environ.c: the variables of a request (RFC 3875, section 4.1), made when
 * they are asked for, each by a function of its own. */
#include "sgi_environ.h"
#include "sgi_log.h"

#include <ap_mpm.h>
#include <http_core.h>
#include <http_protocol.h>
#include <apr_lib.h>
#include <apr_strings.h>

/* ---- one function a variable: its value, or NULL if there is none ---- */

#define VARIABLE(name) static const char *name(const swiftgi_request *x)

static const char *decimal(apr_pool_t *pool, unsigned number)
{
    char digits[sizeof("4294967295")], *first = digits + sizeof(digits);

    *--first = '\0';
    do *--first = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return apr_pstrmemdup(pool, first, (apr_size_t)(digits + sizeof(digits) - 1 - first));
}

/* clang-format off */
VARIABLE(auth_type) { return x->r->ap_auth_type; }
VARIABLE(content_length) { return apr_table_get(x->r->headers_in, "Content-Length"); }
VARIABLE(content_type) { return apr_table_get(x->r->headers_in, "Content-Type"); }
VARIABLE(context_document_root) { return ap_context_document_root(x->r); }
VARIABLE(context_prefix) { return ap_context_prefix(x->r); }
VARIABLE(document_root) { return ap_document_root(x->r); }
VARIABLE(gateway_interface) { return "CGI/1.1"; }
VARIABLE(path_info) { return x->target->path_info; }
VARIABLE(query_string) { return x->r->args ? x->r->args : ""; }
VARIABLE(redirect_query_string) { return x->r->prev ? x->r->prev->args : NULL; }
VARIABLE(redirect_url) { return x->r->prev ? x->r->prev->uri : NULL; }
VARIABLE(remote_addr) { return x->r->useragent_ip; }
VARIABLE(remote_host) { return ap_get_useragent_host(x->r, REMOTE_HOST, NULL); }
VARIABLE(remote_port) { return decimal(x->r->pool, x->r->useragent_addr->port); }
VARIABLE(remote_user) { return x->r->user; }
VARIABLE(request_id) { return sgi_log_request_id(x->r); }
VARIABLE(request_method) { return x->method; }
VARIABLE(request_scheme) { return ap_http_scheme(x->r); }
VARIABLE(script_filename) { return x->r->filename; }
VARIABLE(script_name) { return x->target->script_name; }
VARIABLE(server_addr) { return x->r->connection->local_ip; }
VARIABLE(server_admin) { return x->r->server->server_admin; }
VARIABLE(server_port) { return decimal(x->r->pool, ap_get_server_port(x->r)); }
VARIABLE(server_protocol) { return x->r->protocol; }
VARIABLE(server_software) { return ap_get_server_banner(); }
/* clang-format on */

/* The client chooses it with UseCanonicalName Off, and applications put it into
 * pages: httpd escapes it for CGI programs too. */
VARIABLE(server_name)
{
    return ap_escape_html(x->r->pool, ap_get_server_name_for_url(x->r));
}

/* The second word of the request line: r->unparsed_uri is another one after an
 * internal redirect. Of the absolute form only the path counts. */
static swiftgi_bytes target_of(const request_rec *r)
{
    const char *start = r->the_request ? r->the_request : "", *end, *slash;
    swiftgi_bytes target;

    while (*start && !apr_isspace(*start)) start++;
    while (apr_isspace(*start)) start++;
    for (end = start; *end && !apr_isspace(*end); end++) continue;
    if (*start != '/' && (slash = ap_strstr_c(start, "://")) != NULL && slash < end) {
        for (start = slash + 3; start < end && *start != '/'; start++) continue;
        if (start == end) {
            start = "/";
            end = start + 1;
        }
    }
    target.start = start;
    target.count = (size_t)(end - start);
    return target;
}

VARIABLE(request_uri)
{
    swiftgi_bytes target = target_of(x->r);

    if (!x->r->the_request) return x->r->unparsed_uri;
    return apr_pstrmemdup(x->r->pool, target.start, target.count);
}

#define NAMED(text, function) .name = text, .length = sizeof(text) - 1, .value = function

/* By name, so that enumerations come out sorted. */
static const struct variable {
    const char *name;
    apr_size_t length;
    const char *(*value)(const swiftgi_request *x);
} variables[] = {
    { NAMED("AUTH_TYPE", auth_type) },
    { NAMED("CONTENT_LENGTH", content_length) },
    { NAMED("CONTENT_TYPE", content_type) },
    { NAMED("CONTEXT_DOCUMENT_ROOT", context_document_root) },
    { NAMED("CONTEXT_PREFIX", context_prefix) },
    { NAMED("DOCUMENT_ROOT", document_root) },
    { NAMED("GATEWAY_INTERFACE", gateway_interface) },
    { NAMED("PATH_INFO", path_info) },
    { NAMED("QUERY_STRING", query_string) },
    { NAMED("REDIRECT_QUERY_STRING", redirect_query_string) },
    { NAMED("REDIRECT_URL", redirect_url) },
    { NAMED("REMOTE_ADDR", remote_addr) },
    { NAMED("REMOTE_HOST", remote_host) },
    { NAMED("REMOTE_PORT", remote_port) },
    { NAMED("REMOTE_USER", remote_user) },
    { NAMED("REQUEST_METHOD", request_method) },
    { NAMED("REQUEST_SCHEME", request_scheme) },
    { NAMED("REQUEST_URI", request_uri) },
    { NAMED("SCRIPT_FILENAME", script_filename) },
    { NAMED("SCRIPT_NAME", script_name) },
    { NAMED("SERVER_ADDR", server_addr) },
    { NAMED("SERVER_ADMIN", server_admin) },
    { NAMED("SERVER_NAME", server_name) },
    { NAMED("SERVER_PORT", server_port) },
    { NAMED("SERVER_PROTOCOL", server_protocol) },
    { NAMED("SERVER_SOFTWARE", server_software) },
    { NAMED("swiftgi.request_id", request_id) },
};

#define VARIABLE_COUNT (sizeof(variables) / sizeof(variables[0]))

static const struct variable *find_variable(const char *name, apr_size_t length)
{
    apr_size_t i;

    for (i = 0; i < VARIABLE_COUNT; i++) {
        if (variables[i].length == length && !memcmp(variables[i].name, name, length)) {
            return &variables[i];
        }
    }
    return NULL;
}

/* ---- header fields ---- */

static int is_authorization(const char *name)
{
    /* Most names need no comparison. */
    return (*name == 'A' || *name == 'a' || *name == 'P' || *name == 'p')
           && (!ap_cstr_casecmp(name, "Authorization")
               || !ap_cstr_casecmp(name, "Proxy-Authorization"));
}

/* Passwords that httpd checks are none of the application's business. */
static int withholds_authorization(const swiftgi_request *x)
{
    core_dir_config *core = ap_get_core_module_config(x->r->per_dir_config);

    if (x->config->pass_authorization != SGI_AUTO) {
        return x->config->pass_authorization == SGI_OFF;
    }
    if (core->cgi_pass_auth == AP_CGI_PASS_AUTH_ON) return 0;
    return ap_auth_type(x->r) != NULL;
}

/* Whether a field is hidden from the application altogether. */
static int is_withheld(const swiftgi_request *x, const char *name)
{
    return is_authorization(name) && withholds_authorization(x);
}

/* What a character of a field's name is in the name of its variable; 0: nothing. */
static char variable_letter(char c)
{
    if (c >= 'a' && c <= 'z') return (char)(c - 'a' + 'A');
    if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return c;
    return c == '-' ? '_' : '\0';
}

#define IS(bytes, count, text) \
    ((count) == sizeof(text) - 1 && !memcmp((bytes), text, sizeof(text) - 1))

/* Whether what is behind HTTP_ stands for a field that has a variable of another name. */
static int has_own_variable(const char *rest, apr_size_t count)
{
    return IS(rest, count, "CONTENT_TYPE") || IS(rest, count, "CONTENT_LENGTH");
}

/* Writes the variable of a field into `variable` and gives its length; 0 if it has none. Names
 * that differ in '-' and '_' would be one variable: those with anything but letters, digits and
 * '-' have none. Neither has Proxy (CVE-2016-5387), nor the two that have variables of another
 * name, of which `has_own` tells if it is not NULL. */
static apr_size_t variable_of_field(const char *name, char *variable, apr_size_t size,
                                    int *has_own)
{
    apr_size_t i;

    if (has_own) *has_own = 0;
    memcpy(variable, "HTTP_", 5);
    for (i = 5; *name; i++, name++) {
        if (i + 1 >= size || !(variable[i] = variable_letter(*name))) return 0;
    }
    variable[i] = '\0';
    if (has_own_variable(variable + 5, i - 5)) {
        if (has_own) *has_own = 1;
        return 0;
    }
    return i == 5 || IS(variable + 5, i - 5, "PROXY") ? 0 : i;
}

static int is_same_field(const apr_table_entry_t *a, const apr_table_entry_t *b)
{
    /* APR's checksum of a name does not look at its case either. */
    return a->key_checksum == b->key_checksum && a->key && b->key
           && !ap_cstr_casecmp(a->key, b->key);
}

/* What the fields of this one's name say together, or NULL if an earlier one speaks
 * for them. httpd has joined what the client repeated, but RequestHeader may add
 * another. */
static const char *joined_value(const swiftgi_request *x, const apr_array_header_t *fields,
                                int index)
{
    const apr_table_entry_t *field = &APR_ARRAY_IDX(fields, index, apr_table_entry_t);
    const char *value = field->val;
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const apr_table_entry_t *other = &APR_ARRAY_IDX(fields, i, apr_table_entry_t);

        if (i == index || !is_same_field(field, other)) continue;
        if (i < index) return NULL;
        value = apr_pstrcat(x->r->pool, value, ", ", other->val, NULL);
    }
    return value;
}

/* The value of the first field of this name with all that repeat it, or NULL. */
static const char *value_of_field(const swiftgi_request *x, const char *name)
{
    const apr_array_header_t *fields = apr_table_elts(x->r->headers_in);
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const char *key = APR_ARRAY_IDX(fields, i, apr_table_entry_t).key;

        if (key && !ap_cstr_casecmp(key, name)) return joined_value(x, fields, i);
    }
    return NULL;
}

/* The field whose variable is HTTP_ and `rest`. */
static const char *field_of_variable(const swiftgi_request *x, const char *rest)
{
    char name[256], variable[sizeof(name) + 5];
    const char *value;
    apr_size_t i;

    for (i = 0; rest[i]; i++) {
        if (i + 1 >= sizeof(name)) return NULL;
        name[i] = rest[i] == '_' ? '-' : rest[i];
    }
    name[i] = '\0';
    value = value_of_field(x, name);
    if (!value || is_withheld(x, name)) return NULL;
    /* Back again: "HTTP_proxy" and "HTTP_X-A" are no variables. */
    if (!variable_of_field(name, variable, sizeof(variable), NULL)
        || strcmp(variable + 5, rest)) {
        return NULL;
    }
    return value;
}

/* ---- look-up ---- */

static const char *lookup(const swiftgi_request *x, const char *name, apr_size_t length)
{
    const struct variable *variable = find_variable(name, length);
    const char *value = variable ? variable->value(x) : NULL;

    if (!value && !strncmp(name, "HTTP_", 5)) value = field_of_variable(x, name + 5);
    if (!value) value = apr_table_get(x->r->subprocess_env, name);
    return value;
}

static swiftgi_bytes bytes_of(const char *text)
{
    swiftgi_bytes bytes = { text, strlen(text) };
    return bytes;
}

bool sgi_environ_variable(swiftgi_request *x, swiftgi_bytes name, swiftgi_bytes *value)
{
    char copy[256];
    const char *text;

    if (name.count == 0 || name.count >= sizeof(copy) || memchr(name.start, '\0', name.count)) {
        return false;
    }
    memcpy(copy, name.start, name.count);
    copy[name.count] = '\0';
    text = lookup(x, copy, name.count);
    if (!text) return false;
    *value = bytes_of(text);
    return true;
}

void sgi_environ_line(swiftgi_request *x, swiftgi_line *line)
{
    line->method = bytes_of(x->method);
    line->scheme = bytes_of(ap_http_scheme(x->r));
    line->target = x->r->the_request ? target_of(x->r) : bytes_of(x->r->unparsed_uri);
}

int sgi_environ_visit(swiftgi_request *x, swiftgi_visitor visit, void *context)
{
    const apr_array_header_t *fields = apr_table_elts(x->r->headers_in);
    const apr_array_header_t *settings = apr_table_elts(x->r->subprocess_env);
    const char *value;
    apr_size_t n;
    int i, is_complete = 1;

    for (n = 0; n < VARIABLE_COUNT; n++) {
        if ((value = variables[n].value(x)) != NULL) {
            swiftgi_bytes name = { variables[n].name, variables[n].length };

            visit(context, name, bytes_of(value));
        }
    }
    for (i = 0; i < fields->nelts; i++) {
        const apr_table_entry_t *field = &APR_ARRAY_IDX(fields, i, apr_table_entry_t);
        char variable[256];
        swiftgi_bytes name = { variable, 0 };
        int has_own;

        if (!field->key) continue;
        name.count = variable_of_field(field->key, variable, sizeof(variable), &has_own);
        if (name.count == 0) {
            if (!has_own) is_complete = 0;
        }
        else if (!is_withheld(x, field->key) && (value = joined_value(x, fields, i)) != NULL) {
            visit(context, name, bytes_of(value));
        }
    }
    for (i = 0; i < settings->nelts; i++) {
        const apr_table_entry_t *setting = &APR_ARRAY_IDX(settings, i, apr_table_entry_t);

        /* Only what a look-up would find: not what is hidden by a variable above,
         * nor a repetition. */
        if (setting->key && lookup(x, setting->key, strlen(setting->key)) == setting->val) {
            visit(context, bytes_of(setting->key), bytes_of(setting->val));
        }
    }
    return is_complete;
}

void sgi_environ_variables(swiftgi_request *x, swiftgi_visitor visit, void *context)
{
    sgi_environ_visit(x, visit, context);
}

static void visit_fields(swiftgi_request *x, const apr_table_t *table, swiftgi_visitor visit,
                         void *context)
{
    const apr_array_header_t *fields = apr_table_elts(table);
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const apr_table_entry_t *field = &APR_ARRAY_IDX(fields, i, apr_table_entry_t);

        if (field->key && !is_withheld(x, field->key)) {
            visit(context, bytes_of(field->key), bytes_of(field->val));
        }
    }
}

void sgi_environ_fields(swiftgi_request *x, swiftgi_visitor visit, void *context)
{
    visit_fields(x, x->r->headers_in, visit, context);
}

void sgi_environ_hidden_fields(swiftgi_request *x, swiftgi_visitor visit, void *context)
{
    const apr_array_header_t *fields = apr_table_elts(x->r->headers_in);
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const apr_table_entry_t *field = &APR_ARRAY_IDX(fields, i, apr_table_entry_t);
        char variable[256];
        int has_own;

        if (field->key && !variable_of_field(field->key, variable, sizeof(variable), &has_own)
            && !has_own && !is_withheld(x, field->key)) {
            visit(context, bytes_of(field->key), bytes_of(field->val));
        }
    }
}

void sgi_environ_trailers(swiftgi_request *x, swiftgi_visitor visit, void *context)
{
    if (x->input_ended && x->r->trailers_in) {
        visit_fields(x, x->r->trailers_in, visit, context);
    }
}
