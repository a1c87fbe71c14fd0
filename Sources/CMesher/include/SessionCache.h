// SPDX-License-Identifier: Apache-2.0
// What of the TLS library swift-nio-ssl keeps to itself.
#ifndef MESHER_SESSION_CACHE_H
#define MESHER_SESSION_CACHE_H

/// Says which sessions an `SSL_CTX` keeps in memory: 0 for none. Gives what was kept until now. Tickets are no concern of it.
///
/// It is in BoringSSL as swift-nio-ssl has it, so that only what is linked with that may call it.
int CNIOBoringSSL_SSL_CTX_set_session_cache_mode(void *context, int mode);

#endif
