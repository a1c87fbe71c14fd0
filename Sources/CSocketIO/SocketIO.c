// SPDX-License-Identifier: Apache-2.0
// Takes the place of read(2) and write(2) for everything that is linked into the program.
//
// SwiftNIO reads and writes its sockets with them. The kernel takes such a call through its file layer (permissions,
// notification, accounting) before it comes to the socket; recv(2) and send(2) go there at once. A proxied request takes
// four of these calls, and this is about a fiftieth of all its CPU time. Shared libraries get these two as well; the calls
// that the C library makes itself stay as they are.
//
// What is no socket answers ENOTSOCK, and then the call is made as it was meant: one more system call for event and timer
// descriptors, pipes and files, of which there are few.

// A sanitizer has its own of both.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

#if defined(__linux__) && !defined(SANITIZED)

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
        int before = errno;
        ssize_t received = recv(descriptor, buffer, count, 0);
        if (received >= 0 || errno != ENOTSOCK) return received;
        errno = before;
    }
    return syscall(SYS_read, descriptor, buffer, count);
}

ssize_t write(int descriptor, const void *buffer, size_t count) {
    if (count > 0) {
        int before = errno;
        // A peer that is gone is an error, never a signal.
        ssize_t sent = send(descriptor, buffer, count, MSG_NOSIGNAL);
        if (sent >= 0 || errno != ENOTSOCK) return sent;
        errno = before;
    }
    return syscall(SYS_write, descriptor, buffer, count);
}

#endif
