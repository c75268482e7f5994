/* sgi_environ.h: the variables of a request, made when they are asked for. */
#ifndef SGI_ENVIRON_H
#define SGI_ENVIRON_H

#include "sgi_exchange.h"

/* Members of swiftgi_server. What they give lives as long as the request. */
bool sgi_environ_variable(swiftgi_request *x, swiftgi_bytes name, swiftgi_bytes *value);
void sgi_environ_variables(swiftgi_request *x, swiftgi_visitor visit, void *context);
void sgi_environ_fields(swiftgi_request *x, swiftgi_visitor visit, void *context);
void sgi_environ_line(swiftgi_request *x, swiftgi_line *line);
void sgi_environ_trailers(swiftgi_request *x, swiftgi_visitor visit, void *context);

/* As sgi_environ_variables(). Returns whether there are no fields but those that variables stand
 * for. */
int sgi_environ_visit(swiftgi_request *x, swiftgi_visitor visit, void *context);

/* The fields that no variable stands for. */
void sgi_environ_hidden_fields(swiftgi_request *x, swiftgi_visitor visit, void *context);

#endif /* SGI_ENVIRON_H */
