// SPDX-License-Identifier: Apache-2.0
// Walks a stack by frame pointers. Our code and that of Swift's packages has them, and so has Swift's runtime.
//
// Assembly and, on x86-64, the C library use that register for other things, so nothing it says is believed: memory is
// copied by process_vm_readv, which fails where a load would crash, and frames must follow one another upwards. From
// such code we find back to frames by what a function must do: save the register before it uses it. Without that, a
// third of the samples of a program that allocates much were of malloc, called by nobody. On arm64 C libraries have
// frame pointers. A walk costs 7 to 11 microseconds, most of them system calls.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include "StackWalk.h"

#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <sys/uio.h>
#include <unistd.h>

/// How much of a stack is copied at once. Frames are small, so one copy mostly serves several.
#define WINDOW 1024
/// Further than this from the stack pointer there is no frame, whatever the register says.
#define STACK_REACH ((uintptr_t)64 << 20)

/// A copy of a piece of the stack.
typedef struct {
    uintptr_t start, end;
    uint64_t words[WINDOW / 8];
} window;

static pid_t process;
static _Atomic bool is_allowed;

bool cmesher_walk_is_allowed(void) { return atomic_load(&is_allowed); }

static bool copy(void *to, uintptr_t from, size_t length) {
    struct iovec local = {.iov_base = to, .iov_len = length};
    struct iovec remote = {.iov_base = (void *)from, .iov_len = length};
    if (process_vm_readv(process, &local, 1, &remote, 1, 0) == (ssize_t)length) return true;
    if (errno == EPERM || errno == ENOSYS) atomic_store_explicit(&is_allowed, false, memory_order_relaxed);
    return false;
}

/// The word at `address`, and the one above it. False when they are not there.
static bool read_words(window *seen, uintptr_t address, uint64_t words[2]) {
    if (address < seen->start || address + 16 > seen->end) {
        uintptr_t length = 4096 - address % 4096;  // within one page, which is there or not
        if (length > WINDOW) length = WINDOW;
        if (length < 16) length = 16;
        seen->start = seen->end = 0;
        if (!copy(seen->words, address, length)) return false;
        seen->start = address;
        seen->end = address + length;
    }
    const uint64_t *found = seen->words + (address - seen->start) / 8;
    words[0] = found[0];
    words[1] = found[1];
    return true;
}

static bool is_frame(uintptr_t frame, uintptr_t lowest) {
    return frame >= lowest && frame - lowest < STACK_REACH && frame % 8 == 0;
}

/// Swift marks the saved frame pointers of asynchronous functions by this bit.
static uintptr_t unmarked(uint64_t frame) { return (uintptr_t)(frame & ~((uint64_t)1 << 60)); }

/// Without what may be a signature in the upper bits (pointer authentication of arm64).
static uint64_t unsigned_address(uint64_t address) { return address & (((uint64_t)1 << 48) - 1); }

#if defined(__x86_64__)
#define MOST_RANGES 64
/// How much of the stack is searched for a saved frame pointer.
#define SEARCHED 1024
/// The registers that a function may have saved before the frame pointer: rbx and r12 to r15. Some need padding.
#define SAVED_BEFORE 6

/// The code of one file, as it is mapped.
typedef struct {
    uintptr_t start, end;
} code_range;

static code_range code[MOST_RANGES];
static size_t code_count;
static size_t program_count;  // how many of them, at the front, are of the program itself

static int note_object(struct dl_phdr_info *object, size_t size, void *context) {
    (void)size;
    bool *is_program = context;
    for (size_t i = 0; i < object->dlpi_phnum && code_count < MOST_RANGES; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_X) == 0) continue;
        uintptr_t start = object->dlpi_addr + segment->p_vaddr;
        code[code_count++] = (code_range){start, start + segment->p_memsz};
    }
    if (*is_program) program_count = code_count;
    *is_program = false;  // it comes first, the libraries after it
    return 0;
}

static bool is_code(uint64_t address, size_t ranges) {
    for (size_t i = 0; i < ranges; i++)
        if (address >= code[i].start && address < code[i].end) return true;
    return false;
}

/// Whether there is a call instruction in front of an address.
static bool follows_call(uint64_t address) {
    uint8_t bytes[8];
    if (!is_code(address - 1, code_count) || !copy(bytes, (uintptr_t)address - 7, 7)) return false;
    if (bytes[2] == 0xe8) return true;             // call rel32
    for (int length = 2; length <= 7; length++) {  // call r/m64
        const uint8_t *at = bytes + 7 - length;
        if (at[0] == 0xff && (at[1] & 0x38) == 0x10) return true;
    }
    return false;
}

/// Whether a word on the stack, at `place`, may be a saved frame pointer: it leads to a frame that leads to another.
static bool leads_on(window *seen, uintptr_t place, uint64_t word) {
    uintptr_t frame = unmarked(word);
    uint64_t words[2];
    if (frame % 16 != 0 || !is_frame(frame, place + 16) || !read_words(seen, frame, words)) return false;
    if (!is_code(words[1] - 1, code_count)) return false;
    uintptr_t next = unmarked(words[0]);
    return next == 0 || (next % 16 == 0 && is_frame(next, frame + 16) && read_words(seen, next, words)
                         && is_code(words[1] - 1, code_count));
}

/// For code that may not keep a frame pointer: the innermost frame, and the return address of that code, or 0.
///
/// Takes the register's value for the frame when it can be one; else the first saved value that can.
static uintptr_t innermost_frame(uintptr_t stack, uintptr_t frame, uint64_t *caller) {
    window seen, other;
    seen.start = seen.end = other.start = other.end = 0;
    *caller = 0;
    uint64_t words[2];
    bool is_kept = frame % 16 == 0 && is_frame(frame, stack) && read_words(&other, frame, words)
                   && is_code(words[1] - 1, code_count);
    for (uintptr_t place = stack & ~(uintptr_t)7; place < stack + SEARCHED; place += 8) {
        if (!read_words(&seen, place, words)) break;
        if (is_kept ? words[0] != frame || place >= frame : !leads_on(&other, place, words[0])) continue;
        for (uintptr_t above = place + 8; above <= place + 8 * SAVED_BEFORE; above += 8) {
            uint64_t next[2];
            if (!read_words(&other, above, next)) break;
            if (!follows_call(next[0])) continue;
            *caller = next[0];
            break;
        }
        return unmarked(words[0]);
    }
    // It has not saved the register: it does not use it, as functions do that call no others.
    if (is_kept && read_words(&seen, stack, words) && follows_call(words[0])) *caller = words[0];
    return frame;
}
#endif

void cmesher_walk_prepare(void) {
    process = getpid();
    atomic_store(&is_allowed, true);
#if defined(__x86_64__)
    bool is_program = true;
    code_count = program_count = 0;
    dl_iterate_phdr(note_object, &is_program);
#endif
}

size_t cmesher_walk(const ucontext_t *context, uint64_t *addresses, size_t most) {
#if defined(__x86_64__)
    uintptr_t stack = (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
    uintptr_t frame = (uintptr_t)context->uc_mcontext.gregs[REG_RBP];
    addresses[0] = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
#else
    uintptr_t stack = (uintptr_t)context->uc_mcontext.sp;
    uintptr_t frame = (uintptr_t)context->uc_mcontext.regs[29];
    addresses[0] = context->uc_mcontext.pc;
#endif
    size_t depth = 1;
    frame = unmarked(frame);
#if defined(__x86_64__)
    if (!is_code(addresses[0], program_count) || !is_frame(frame, stack)) {
        uint64_t caller;
        frame = innermost_frame(stack, frame, &caller);
        if (caller != 0 && depth < most) addresses[depth++] = caller;
    }
#endif
    window seen;
    seen.start = seen.end = 0;
    uintptr_t lowest = stack;
    while (depth < most && is_frame(frame, lowest)) {
        uint64_t words[2];
        if (!read_words(&seen, frame, words)) break;
        uint64_t address = unsigned_address(words[1]);
        if (address < 4096) break;
        addresses[depth++] = address;
        lowest = frame + 16;
        frame = unmarked(words[0]);
    }
    return depth;
}

#else
// So that the file is not empty where there is no profiler.
typedef int cmesher_no_walk;
#endif
