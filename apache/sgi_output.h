/* sgi_output.h: the response, into the output filters. */
#ifndef SGI_OUTPUT_H
#define SGI_OUTPUT_H

#include "sgi_exchange.h"

/* Members of swiftgi_server. */
swiftgi_status sgi_output_start(swiftgi_request *x, uint16_t status, swiftgi_bytes reason,
                                int64_t length);
swiftgi_status sgi_output_field(swiftgi_request *x, swiftgi_bytes name, swiftgi_bytes value);
swiftgi_status sgi_output_write(swiftgi_request *x, swiftgi_bytes piece, uint32_t flags);
swiftgi_status sgi_output_inform(swiftgi_request *x);
swiftgi_status sgi_output_trailer(swiftgi_request *x, swiftgi_bytes name, swiftgi_bytes value);
swiftgi_status sgi_output_send_file(swiftgi_request *x, int descriptor, int64_t offset,
                                    int64_t length, uint32_t flags);

/* Tells a client that waits with its body for the word that it may send it; nothing to
 * others, and nothing behind the head of the response. */
void sgi_output_continue(swiftgi_request *x);

/* Has the core's filter send what it can of what it holds, as the MPM does behind a request; a
 * connection that fails is aborted. */
void sgi_output_send_on(conn_rec *c);

/* Sends what it can of what was written, without waiting. Returns whether nothing is
 * left. */
int sgi_output_drain(swiftgi_request *x);

/* Ends the response as the application's outcome demands: the only place where
 * an outcome becomes what the client gets. Returns what the handler returns. */
int sgi_output_finish(swiftgi_request *x, swiftgi_status outcome);

#endif /* SGI_OUTPUT_H */
