// SPDX-License-Identifier: Apache-2.0
// Sockets without the kernel's file layer.
#ifndef MESHER_SOCKET_IO_H
#define MESHER_SOCKET_IO_H

// Nothing to call: a program that is linked with this module has read(2) and write(2) of its own, which are recv(2) and
// send(2) for sockets. See SocketIO.c.

#endif
