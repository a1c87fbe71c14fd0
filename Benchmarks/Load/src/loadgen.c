/* loadgen: the bench's own HTTP/1.1 load generator, one thread, epoll.
 *
 *   loadgen open   --port P --request FILE --conns N --rate R --seconds S
 *       Open loop at a fixed rate.  Request k is due at start + k/R whether or
 *       not earlier ones were answered, and its latency counts from when it was
 *       due, so a stall is charged to every request that it delays (no
 *       coordinated omission).  A due request that finds no free connection
 *       waits in a queue, and that wait counts.  send_lag_us is how late the
 *       generator itself was, for requests that found a connection free.
 *       --arrivals poisson draws the gaps from an exponential distribution
 *       instead (fixed seed).
 *   loadgen closed --port P --request FILE --conns N --seconds S
 *       Each connection sends its next request when its last was answered.
 *   loadgen churn  --port P --request FILE --conns N --seconds S
 *       As closed, with a new connection for each request.  The client closes
 *       first, unless the response says Connection: close: then it waits for
 *       the server's close.  Latency counts from connect.
 *   loadgen idle   --port P --request FILE
 *       Reads commands from standard input: "open N" opens connections until N
 *       are open, one request on each, then leaves them idle; "check" counts
 *       those the peer has closed; "quit" ends.  One JSON line for each.
 *
 * FILE holds the request's exact bytes.  --body B makes any response whose
 * body is not B bytes an error.  Only 127.0.0.0/8 is ever contacted.
 */
#define _GNU_SOURCE
#include "http1.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef int64_t ns_t;
enum { C_IDLE, C_CONNECTING, C_SENDING, C_WAITING, C_CLOSING };

struct conn {
    int fd, state, index;
    size_t sent;
    ns_t due, sent_at;
    struct msg m;
};

static int ep, port, nconns = 64, spread, want_body = -1;
static in_addr_t host;                 /* network order: where to connect to */
static double rate = 1000, seconds = 5, settle = 0.5;
static ns_t timeout_ns = 5000000000LL;
static int poisson;
static char *req;
static size_t reqlen;
static struct conn **conns;
static long long completed, err_connect, err_status, err_body, err_reset, err_timeout, opened;

static void die(const char *what) { perror(what); exit(1); }
static ns_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }

/* --- a log-linear histogram: 128 steps per power of two, under 0.8 % error --- */
enum { SUB = 7, BUCKETS = (64 - SUB) << SUB };
struct hist { uint64_t count[BUCKETS], total; ns_t max; double sum; };
static int bucket(uint64_t v)
{
    if (v < (1u << SUB)) return (int)v;
    int e = 63 - __builtin_clzll(v) - SUB;
    return ((e + 1) << SUB) + (int)((v >> e) - (1u << SUB));
}
static double bucket_mid(int b)
{
    if (b < (1 << SUB)) return b;
    int e = (b >> SUB) - 1;
    return ((double)((b & ((1 << SUB) - 1)) + (1 << SUB)) + 0.5) * (double)(1ULL << e);
}
static void record(struct hist *h, ns_t v)
{
    if (v < 0) v = 0;
    h->count[bucket(v)]++; h->total++; h->sum += v;
    if (v > h->max) h->max = v;
}
static double quantile_us(struct hist *h, double q)
{
    uint64_t want = (uint64_t)ceil(q * h->total), seen = 0;
    if (!h->total) return 0;
    if (!want) want = 1;
    for (int b = 0; b < BUCKETS; b++)
        if ((seen += h->count[b]) >= want) { double v = bucket_mid(b); return (v > h->max ? h->max : v) / 1e3; }
    return h->max / 1e3;
}
static struct hist lat, lag;
static void print_hist(const char *name, struct hist *h)
{
    printf("\"%s\":{\"count\":%llu,\"mean\":%.2f,\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f}", name,
           (unsigned long long)h->total, h->total ? h->sum / h->total / 1e3 : 0, quantile_us(h, .5), quantile_us(h, .9),
           quantile_us(h, .99), quantile_us(h, .999), h->max / 1e3);
}

/* --- connections --- */
static void watch(struct conn *c, int op, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = c };
    if (epoll_ctl(ep, op, c->fd, &ev) < 0) die("epoll_ctl");
}
static int dial(struct conn *c)
{
    int one = 1;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    to.sin_addr.s_addr = host;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return -1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (spread) {                         /* many source addresses, so that ports in TIME_WAIT never run out */
        static unsigned turn;
        struct sockaddr_in from = { .sin_family = AF_INET };
        from.sin_addr.s_addr = htonl(0x7f000002 + turn++ % spread);
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(c->fd, (void *)&from, sizeof from) < 0) { close(c->fd); c->fd = -1; return -1; }
    }
    int r = connect(c->fd, (void *)&to, sizeof to);
    if (r < 0 && errno != EINPROGRESS) { close(c->fd); c->fd = -1; return -1; }
    opened++;
    msg_reset(&c->m);
    c->sent = 0;
    c->state = C_CONNECTING;
    watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    return 0;
}
static void hang_up(struct conn *c) { if (c->fd >= 0) close(c->fd); c->fd = -1; c->state = C_IDLE; }

/* 0 sent or waiting for room, -1 broken */
static int send_some(struct conn *c)
{
    ssize_t s = send(c->fd, req + c->sent, reqlen - c->sent, MSG_NOSIGNAL);
    if (s < 0) { if (errno == EAGAIN) s = 0; else return -1; }
    c->sent += s;
    int was = c->state;
    if (c->sent < reqlen) {
        if (was != C_CONNECTING && was != C_SENDING) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        c->state = C_SENDING;
        return 0;
    }
    if (was == C_CONNECTING || was == C_SENDING) watch(c, EPOLL_CTL_MOD, EPOLLIN);
    c->state = C_WAITING;
    return 0;
}
static int start_request(struct conn *c, ns_t due)
{
    c->due = due;
    c->sent = 0;
    msg_reset(&c->m);
    c->sent_at = now_ns();
    return send_some(c);
}

static char rbuf[262144];
enum { R_MORE, R_DONE, R_BROKEN };
static int read_some(struct conn *c)
{
    ssize_t n = recv(c->fd, rbuf, sizeof rbuf, 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? R_MORE : R_BROKEN;
    if (n == 0) {
        if (c->m.state == MSG_TO_EOF) { c->m.state = MSG_DONE; return R_DONE; }
        return R_BROKEN;
    }
    msg_feed(&c->m, rbuf, n, 1);
    return c->m.state == MSG_DONE ? R_DONE : c->m.state == MSG_BAD ? R_BROKEN : R_MORE;
}
static void judge(struct conn *c)
{
    completed++;
    if (c->m.status < 200 || c->m.status > 299) err_status++;
    else if (want_body >= 0 && c->m.body != want_body) err_body++;
}
static void print_common(const char *mode, double secs)
{
    printf("{\"mode\":\"%s\",\"completed\":%lld,\"seconds\":%.4f,\"opened\":%lld,"
           "\"errors\":{\"connect\":%lld,\"status\":%lld,\"body\":%lld,\"reset\":%lld,\"timeout\":%lld}",
           mode, completed, secs, opened, err_connect, err_status, err_body, err_reset, err_timeout);
}

/* --- open loop --- */
static ns_t *due_ring;
static size_t ring_cap, ring_head, ring_len;
static void ring_push(ns_t v)
{
    if (ring_len == ring_cap) {
        size_t cap = ring_cap ? ring_cap * 2 : 4096;
        ns_t *r = malloc(cap * sizeof *r);
        if (!r) die("malloc");
        for (size_t i = 0; i < ring_len; i++) r[i] = due_ring[(ring_head + i) % ring_cap];
        free(due_ring);
        due_ring = r; ring_cap = cap; ring_head = 0;
    }
    due_ring[(ring_head + ring_len++) % ring_cap] = v;
}
static ns_t ring_pop(void) { ns_t v = due_ring[ring_head]; ring_head = (ring_head + 1) % ring_cap; ring_len--; return v; }

static int *free_q, free_head, free_len;          /* free connections, first in first out */
static void free_push(int i) { free_q[(free_head + free_len++) % nconns] = i; }
static int free_pop(void) { int i = free_q[free_head]; free_head = (free_head + 1) % nconns; free_len--; return i; }

static void wait_connected(void)
{
    /* every connection carries one uncounted-in-latency request before the clock starts */
    for (int i = 0; i < nconns; i++) {
        struct conn *c = conns[i];
        if (dial(c) < 0) { err_connect++; hang_up(c); continue; }
        struct pollfd pf = { .fd = c->fd, .events = POLLOUT };
        if (poll(&pf, 1, 5000) != 1 || start_request(c, 0) < 0) { err_connect++; hang_up(c); continue; }
        pf.events = POLLIN;
        int r = R_MORE;
        while (c->state == C_SENDING) { pf.events = POLLOUT; if (poll(&pf, 1, 5000) != 1 || send_some(c) < 0) break; }
        pf.events = POLLIN;
        while (r == R_MORE && poll(&pf, 1, 5000) == 1) r = read_some(c);
        if (r != R_DONE) { err_connect++; hang_up(c); continue; }
        judge(c);
        c->state = C_IDLE;
        free_push(i);
    }
}

static void run_open(void)
{
    free_q = calloc(nconns, sizeof *free_q);
    wait_connected();
    if (!free_len) { print_common("open", 0); printf("}\n"); exit(1); }
    srand48(42);
    struct epoll_event evs[512];
    ns_t start = now_ns() + 1000000, next = start, from = start + (ns_t)(settle * 1e9);
    ns_t stop = from + (ns_t)(seconds * 1e9), gap = (ns_t)(1e9 / rate);
    long long k = 0, in_flight = 0, unfinished = 0;
    size_t deepest = 0;
    for (;;) {
        ns_t now = now_ns(), fresh = ring_len ? INT64_MAX : next;
        while (next <= now && next < stop) {
            ring_push(next);
            k++;
            next = poisson ? next + (ns_t)(-log(1.0 - drand48()) * gap) : start + (ns_t)(k * 1e9 / rate);
        }
        if (ring_len > deepest) deepest = ring_len;
        while (ring_len && free_len) {
            struct conn *c = conns[free_pop()];
            ns_t due = ring_pop();
            if (c->fd < 0 && dial(c) < 0) { err_connect++; free_push(c->index); continue; }
            if (c->state == C_CONNECTING) { c->due = due; in_flight++; continue; }
            if (due >= from && due >= fresh) record(&lag, now_ns() - due);   /* it never waited for a connection */
            if (start_request(c, due) < 0) { err_reset++; hang_up(c); free_push(c->index); continue; }
            in_flight++;
        }
        now = now_ns();
        if (now >= stop && !in_flight && !ring_len) break;
        if (now >= stop + timeout_ns) break;
        ns_t wait = next < stop ? next - now : 50000000;
        if (wait < 0) wait = 0;
        struct timespec ts = { wait / 1000000000, wait % 1000000000 };
        int n = epoll_pwait2(ep, evs, 512, &ts, NULL);
        if (n < 0 && errno != EINTR) die("epoll_pwait2");
        for (int i = 0; i < n; i++) {
            struct conn *c = evs[i].data.ptr;
            int broken = 0, done = 0;
            if (c->fd < 0) continue;
            if (c->state == C_CONNECTING && (evs[i].events & EPOLLOUT)) broken = start_request(c, c->due) < 0;
            else if (c->state == C_SENDING && (evs[i].events & EPOLLOUT)) broken = send_some(c) < 0;
            if (!broken && (evs[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))) {
                int r = read_some(c);
                broken = r == R_BROKEN;
                done = r == R_DONE;
            }
            if (done) {
                judge(c);
                if (c->due >= from) record(&lat, now_ns() - c->due);
                if (c->m.close) hang_up(c); else c->state = C_IDLE;
            }
            if (broken) {
                if (c->state != C_IDLE) err_reset++;   /* an idle connection closed by the peer is no error */
                else { hang_up(c); continue; }
                hang_up(c);
            }
            if (done || broken) { in_flight--; free_push(c->index); }
        }
    }
    ns_t end = now_ns();
    for (int i = 0; i < nconns; i++)
        if (conns[i]->state != C_IDLE && conns[i]->fd >= 0) { unfinished++; if (conns[i]->due >= from) record(&lat, end - conns[i]->due); }
    while (ring_len) { ns_t due = ring_pop(); unfinished++; if (due >= from) record(&lat, end - due); }
    err_timeout += unfinished;
    print_common("open", (end - start) / 1e9);
    printf(",\"rate\":%.1f,\"deepest_queue\":%zu,", rate, deepest);
    print_hist("latency_us", &lat);
    printf(",");
    print_hist("send_lag_us", &lag);
    printf("}\n");
}

/* --- closed loop, with or without a new connection for each request --- */
static void run_closed(int churn)
{
    struct epoll_event evs[512];
    for (int i = 0; i < nconns; i++) { if (dial(conns[i]) < 0) err_connect++; conns[i]->due = now_ns(); }
    ns_t start = now_ns(), stop = start + (ns_t)(seconds * 1e9), last_scan = start;
    int active = 1;
    while (active) {
        int n = epoll_wait(ep, evs, 512, 50);
        ns_t now = now_ns();
        for (int i = 0; i < n; i++) {
            struct conn *c = evs[i].data.ptr;
            int broken = 0, done = 0;
            if (c->fd < 0) continue;
            if (c->state == C_CLOSING) {                     /* waiting for the server's close */
                if (recv(c->fd, rbuf, sizeof rbuf, 0) > 0) continue;
                done = 1;
            } else {
                if (c->state == C_CONNECTING && (evs[i].events & EPOLLOUT)) {
                    ns_t due = churn ? c->due : now;
                    broken = start_request(c, due) < 0;
                } else if (c->state == C_SENDING && (evs[i].events & EPOLLOUT)) broken = send_some(c) < 0;
                if (!broken && (evs[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))) {
                    int r = read_some(c);
                    broken = r == R_BROKEN;
                    done = r == R_DONE;
                    if (done && churn && c->m.close && c->m.state == MSG_DONE && c->fd >= 0) {
                        char b;
                        ssize_t e = recv(c->fd, &b, 1, 0);
                        if (e < 0 && errno == EAGAIN) { c->state = C_CLOSING; continue; }
                    }
                }
            }
            if (!done && !broken) continue;
            if (done) { judge(c); record(&lat, now_ns() - c->due); } else err_reset++;
            if (churn || broken || c->m.close) hang_up(c); else c->state = C_IDLE;
            now = now_ns();
            if (now >= stop) { hang_up(c); continue; }
            if (c->fd < 0) {
                c->due = now;
                if (dial(c) < 0) { err_connect++; if (err_connect > 1000) { stop = now; } }
            } else if (start_request(c, now) < 0) { err_reset++; hang_up(c); }
        }
        now = now_ns();
        if (now - last_scan > 100000000) {
            last_scan = now;
            active = now < stop;
            for (int i = 0; i < nconns; i++) {
                struct conn *c = conns[i];
                if (c->fd >= 0 && now - c->due > timeout_ns) { err_timeout++; hang_up(c); }
                if (c->fd >= 0) active = 1;
                else if (now < stop) { c->due = now; if (dial(c) < 0) err_connect++; }
            }
        }
    }
    print_common(churn ? "churn" : "closed", (now_ns() - start) / 1e9);
    printf(",");
    print_hist("latency_us", &lat);
    printf("}\n");
}

/* --- idle connections --- */
static void run_idle(void)
{
    char line[128];
    int have = 0, cap = 0;
    while (fgets(line, sizeof line, stdin)) {
        int want = 0;
        if (!strncmp(line, "quit", 4)) break;
        if (sscanf(line, "open %d", &want) == 1) {
            if (want > cap) {
                conns = realloc(conns, want * sizeof *conns);
                if (!conns) die("realloc");
                cap = want;
            }
            while (have < want) {
                struct conn *c = conns[have++] = calloc(1, sizeof *c);
                if (!c) die("calloc");
                c->fd = -1;
                if (dial(c) < 0) { err_connect++; continue; }
                struct pollfd pf = { .fd = c->fd, .events = POLLOUT };
                if (poll(&pf, 1, 5000) != 1 || start_request(c, 0) < 0) { err_connect++; hang_up(c); continue; }
                pf.events = POLLIN;
                int r = R_MORE;
                while (r == R_MORE && poll(&pf, 1, 5000) == 1) r = read_some(c);
                if (r == R_DONE) { judge(c); c->state = C_IDLE; if (c->m.close) hang_up(c); }
                else { err_reset++; hang_up(c); }
            }
        }
        int alive = 0;
        for (int i = 0; i < have; i++) {
            char b;
            if (conns[i]->fd < 0) continue;
            ssize_t r = recv(conns[i]->fd, &b, 1, MSG_PEEK);
            if (r == 0 || (r < 0 && errno != EAGAIN)) hang_up(conns[i]); else alive++;
        }
        print_common("idle", 0);
        printf(",\"alive\":%d}\n", alive);
        fflush(stdout);
    }
}

static void read_request(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) die(path);
    size_t cap = 0;
    for (;;) {
        if (reqlen + 65536 > cap) { cap = cap ? cap * 2 : 131072; req = realloc(req, cap); if (!req) die("realloc"); }
        size_t n = fread(req + reqlen, 1, 65536, f);
        if (!n) break;
        reqlen += n;
    }
    fclose(f);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    host = htonl(INADDR_LOOPBACK);
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *o = argv[i], *v = argv[i + 1];
        if (!strcmp(o, "--port")) port = atoi(v);
        else if (!strcmp(o, "--host")) { if (inet_pton(AF_INET, v, &host) != 1) { fprintf(stderr, "--host is an IPv4 address\n"); return 2; } }
        else if (!strcmp(o, "--request")) read_request(v);
        else if (!strcmp(o, "--conns")) nconns = atoi(v);
        else if (!strcmp(o, "--rate")) rate = atof(v);
        else if (!strcmp(o, "--seconds")) seconds = atof(v);
        else if (!strcmp(o, "--settle")) settle = atof(v);
        else if (!strcmp(o, "--timeout")) timeout_ns = (ns_t)(atof(v) * 1e9);
        else if (!strcmp(o, "--spread")) spread = atoi(v);
        else if (!strcmp(o, "--body")) want_body = atoi(v);
        else if (!strcmp(o, "--arrivals")) poisson = !strcmp(v, "poisson");
        else { fprintf(stderr, "loadgen: unknown option %s\n", o); return 2; }
    }
    if (port <= 0 || !reqlen || nconns < 1 || rate <= 0 || seconds <= 0 || seconds > 600 || spread < 0 || spread > 250) {
        fprintf(stderr, "usage: loadgen open|closed|churn|idle --port P --request FILE [--conns N] [--rate R] [--seconds S] "
                        "[--settle S] [--timeout S] [--spread ADDRESSES] [--body BYTES] [--arrivals uniform|poisson]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1000UL, 0, 0, 0);
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) { rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl); }
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (strcmp(mode, "idle")) {
        conns = calloc(nconns, sizeof *conns);
        for (int i = 0; i < nconns; i++) { conns[i] = calloc(1, sizeof **conns); if (!conns[i]) die("calloc"); conns[i]->fd = -1; conns[i]->index = i; }
    }
    if (!strcmp(mode, "open")) run_open();
    else if (!strcmp(mode, "closed")) run_closed(0);
    else if (!strcmp(mode, "churn")) run_closed(1);
    else if (!strcmp(mode, "idle")) run_idle();
    else { fprintf(stderr, "loadgen: unknown mode %s\n", mode); return 2; }
    return 0;
}
