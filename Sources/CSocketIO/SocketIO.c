// SPDX-License-Identifier: Apache-2.0
// Takes the place of read(2) and write(2) for everything that is linked into the program.
//
// SwiftNIO reads and writes its sockets with them. The kernel takes such a call through its file layer (permissions,
// notification, accounting) before it comes to the socket; recv(2) and send(2) go there at once. A proxied request takes
// four of these calls, and this is about a fiftieth of all its CPU time. The C library's own calls, and those of shared
// libraries that were bound before, are not affected; nor need they be.
//
// What is no socket answers ENOTSOCK, and then the call is made as it was meant: one more system call for event and timer
// descriptors, pipes and files, of which there are few.

#ifdef __linux__

// The checking variants would be macros of the same names.
#undef _FORTIFY_SOURCE
#define _GNU_SOURCE

#include "SocketIO.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t read(int descriptor, void *buffer, size_t count) {
    // Of nothing, a socket and a file do not think alike.
    if (count > 0) {
        ssize_t received = recv(descriptor, buffer, count, 0);
        if (received >= 0 || errno != ENOTSOCK) return received;
    }
    return syscall(SYS_read, descriptor, buffer, count);
}

ssize_t write(int descriptor, const void *buffer, size_t count) {
    if (count > 0) {
        // A peer that is gone is an error, never a signal.
        ssize_t sent = send(descriptor, buffer, count, MSG_NOSIGNAL);
        if (sent >= 0 || errno != ENOTSOCK) return sent;
    }
    return syscall(SYS_write, descriptor, buffer, count);
}

#endif
