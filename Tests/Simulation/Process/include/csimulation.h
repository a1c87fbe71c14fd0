// SPDX-License-Identifier: Apache-2.0
// What the simulation needs of the process that it runs in.
#ifndef MESHER_SIMULATION_H
#define MESHER_SIMULATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/// From now on every clock of this thread says so many nanoseconds; 0 gives the real ones back.
void simulation_set_time(int64_t nanoseconds);

/// The real time, whatever the clocks say.
int64_t simulation_real_time(void);

/// Starts this program anew with the same arguments, unless its hashing is deterministic already.
void simulation_make_deterministic(char *const *arguments);

// What a child tells its parent, whatever becomes of it: memory that both have.

/// Makes the memory; once, before the first child.
bool simulation_share(void);

/// A schedule begins.
void simulation_begin(uint64_t seed);
/// A schedule is done.
void simulation_end(void);
/// A decision was drawn.
void simulation_record(uint32_t decision);
/// Something has happened, in plain words.
void simulation_note(const char *text);
/// A rule was broken.
void simulation_fail(const char *rule, const char *text);
/// Forgets what children have told.
void simulation_forget(void);

uint64_t simulation_seed(void);
uint64_t simulation_schedules(void);
uint32_t simulation_decision_count(void);
uint32_t simulation_decision(uint32_t index);
/// How many of the last notes there are.
uint32_t simulation_note_count(void);
/// One of them, the oldest first.
const char *simulation_note_at(uint32_t index);
/// The rule that was broken; empty for none.
const char *simulation_rule(void);
const char *simulation_text(void);

/// Runs `body` in a child of its own and waits for it.
///
/// Returns the exit code, or minus the signal that ended it.
int simulation_fork(void (*body)(void *), void *argument, bool is_quiet, unsigned most_seconds);

// Fields of the C library's own structures, which several modules claim to define.

/// Whether a socket with this option is reset when it is closed.
bool simulation_resets(struct linger value);
/// The option with which it is.
struct linger simulation_reset_linger(void);

// A real peer on loopback, for the comparison of the simulated channel with a real one.

/// Connects; the descriptor, or -1.
int simulation_peer_connect(uint16_t port);
void simulation_peer_send(int peer, int count);
void simulation_peer_shut_down(int peer);
void simulation_peer_reset(int peer);
void simulation_peer_close(int peer);
/// Reads once what comes within a tenth of a second: how many bytes, 0 for the end, -1 for a reset, -2 for nothing.
int simulation_peer_read(int peer);

#endif
