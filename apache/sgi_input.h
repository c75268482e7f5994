/* sgi_input.h: the body of a request, out of the input filters. */
#ifndef SGI_INPUT_H
#define SGI_INPUT_H

#include "sgi_exchange.h"

/* Registers the filter that keeps input errors from the output. */
void sgi_input_register(void);

/* Member of swiftgi_server. */
swiftgi_status sgi_input_try_read(swiftgi_request *x, void *buffer, size_t capacity,
                                  size_t *count);
swiftgi_status sgi_input_read(swiftgi_request *x, void *buffer, size_t capacity, size_t *count);

/* The request is over: takes what is there of the rest of its body. If there is more to
 * come the connection ends behind the response: httpd would wait for it, on a thread. */
void sgi_input_discard(swiftgi_request *x);

#endif /* SGI_INPUT_H */
