// SPDX-License-Identifier: Apache-2.0
// A terminal that is given back as it was, however the process ends.
#ifndef MESHER_TERMINAL_H
#define MESHER_TERMINAL_H

#include <stdbool.h>

/// Writes `entering` to standard output, and has standard input hand over each key at once, without showing it. Ctrl-C and
/// Ctrl-Z stay signals. At the end, also one by exit(3) or a fault, `leaving` is written (127 bytes at most) and standard
/// input is as before. False when standard input is no terminal: then there are no keys.
bool cmesher_terminal_begin(const char *entering, const char *leaving);

/// Gives the terminal back; nothing when that was done. Safe in signal handlers.
void cmesher_terminal_end(void);

/// Has INT, TERM, HUP, QUIT, TSTP and WINCH written to a pipe from now on, a byte with the number for each, instead of what
/// they do. The end to read from, or -1 when there is none.
int cmesher_terminal_signals(void);

#endif
