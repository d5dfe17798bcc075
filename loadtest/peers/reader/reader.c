// reader.c: the least that a client has to do that reads and checks the messages of weir bench, to compare weir bench with. It shares no
// code with it: one thread, epoll, many WebSockets, each message's number, stamp and CRC-32C.
//
//   reader HOST:PORT PATH TOKENS FROM UNTIL
//
// Each "+" on standard input opens one more connection (PATH, with one token of the file TOKENS after the other; "-" for none). At the end
// of the input it prints one line of JSON. FROM and UNTIL are when the measurement of weir bench begins and ends, in ns since its load
// began: latency and cost are of the messages that were due between them. Latencies are printed as the arrival by the system's clock
// minus the stamp, which is the beginning of the load more than the latency.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  SOURCES = 1024,        // publishers are told apart up to here
  BUFFER = 1 << 20,      // bytes read at once
  STEP = 10000,          // ns of a bucket of latency
  BUCKETS = 3000000,     // 30 s of them
  SLOT = 10000000,       // ns of a slot of arrivals
  SLOTS = 60000,         // 10 minutes of them
};

typedef struct {
  int fd, upgraded;
  char *left;            // bytes of a frame, or of the response, that is not whole
  size_t have, room;
  uint64_t last[SOURCES];
} conn;

static uint64_t messages, measured, missing, again, corrupted, frames, closed, failed, received;
static int64_t from, until, zero, first_arrival;
static double cpu_before = -1, cpu_after;
static uint64_t before;
static uint32_t buckets[BUCKETS], slots[SLOTS], crc_table[256];

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static double cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static uint32_t crc32c(uint32_t crc, const unsigned char *p, size_t n) {
  crc = ~crc;
#ifdef __SSE4_2__
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t v;
    memcpy(&v, p, 8);
    crc = __builtin_ia32_crc32di(crc, v);
  }
#endif
  for (; n > 0; p++, n--) crc = crc_table[(crc ^ *p) & 255] ^ crc >> 8;
  return ~crc;
}

static uint64_t rotl(uint64_t v, int n) { return v << n | v >> (64 - n); }

static uint32_t sum(uint64_t c, uint64_t s, uint64_t n, uint64_t t, const unsigned char *pad, size_t len) {
  const uint64_t prime = 0x9e3779b97f4a7c15;
  uint64_t h = (c << 32 | s) * prime ^ n;
  h = rotl(h * prime, 31) ^ t;
  h = rotl(h * prime, 29) * prime;
  return crc32c((uint32_t)(h >> 32) ^ (uint32_t)h, pad, len);
}

// field reads a name and a number, or returns 0.
static const char *field(const char *p, const char *end, const char *name, uint64_t *v) {
  size_t n = strlen(name);
  if ((size_t)(end - p) < n || memcmp(p, name, n)) return 0;
  const char *start = p += n;
  for (*v = 0; p < end && *p >= '0' && *p <= '9'; p++) *v = *v * 10 + (*p - '0');
  return p > start ? p : 0;
}

// stamp reads one payload that begins at p, and returns what follows it.
static const char *stamp(conn *k, const char *p, const char *end, int64_t at) {
  uint64_t c, s, n, t;
  const char *q = p;
  if (!(q = field(q, end, "{\"c\":", &c)) || !(q = field(q, end, ",\"s\":", &s)) || !(q = field(q, end, ",\"n\":", &n)) ||
      !(q = field(q, end, ",\"t\":", &t)) || end - q < 17 || memcmp(q, ",\"x\":\"", 6) || s >= SOURCES) {
    corrupted++;
    return p + 1;
  }
  q += 6;
  const char *close = memchr(q + 8, '"', end - q - 8);
  char hex[9] = {0};
  memcpy(hex, q, 8);
  if (!close || sum(c, s, n, t, (const unsigned char *)q + 8, close - q - 8) != strtoul(hex, 0, 16)) {
    corrupted++;
    return p + 1;
  }
  messages++;
  if (!first_arrival) first_arrival = at;
  int64_t slot = (at - first_arrival) / SLOT;
  if (slot >= 0 && slot < SLOTS) slots[slot]++;
  if (n == k->last[s] + 1) {
    received++;
  } else if (n > k->last[s]) {
    missing += n - k->last[s] - 1;
    received++;
  } else {
    again++; // it was there, or comes late and was taken for lost
  }
  if (n > k->last[s]) k->last[s] = n;
  int64_t stamp = (int64_t)t;
  if (stamp >= from && cpu_before < 0) cpu_before = cpu(), before = messages;
  if (stamp >= from && stamp < until) {
    int64_t d = at - stamp;
    if (!zero) zero = d - 10000000000ll; // what is late by 10 s less than the first is the least that is told apart
    int64_t b = (d - zero) / STEP;
    if (b >= 0 && b < BUCKETS) buckets[b]++;
    measured++;
  }
  return close;
}

// control replies to a frame with a masked one.
static void control(conn *k, int op, const unsigned char *p, size_t n) {
  unsigned char out[140] = {0x80 | op, 0x80 | n};
  if (n > 125) return;
  memcpy(out + 6, p, n);
  if (write(k->fd, out, n + 6) < 0) closed++;
}

// take reads whole frames and returns how many bytes they took.
static size_t take(conn *k, const char *b, size_t have, int64_t at) {
  size_t used = 0;
  if (!k->upgraded) {
    const char *end = memmem(b, have, "\r\n\r\n", 4);
    if (!end) return 0;
    if (have < 12 || memcmp(b + 8, " 101", 4)) {
      failed++;
      fprintf(stderr, "reader: %.*s\n", (int)(strchr(b, '\r') - b), b);
      exit(1);
    }
    k->upgraded = 1;
    used = end + 4 - b;
  }
  while (have - used >= 2) {
    const unsigned char *f = (const unsigned char *)b + used;
    size_t head = 2, n = f[1] & 127;
    if (n == 126) head = 4;
    if (n == 127) head = 10;
    if (have - used < head) break;
    if (n == 126) n = f[2] << 8 | f[3];
    else if (n == 127) {
      n = 0;
      for (int i = 2; i < 10; i++) n = n << 8 | f[i];
    }
    if (have - used < head + n) break;
    int op = f[0] & 15;
    if (op == 9) control(k, 10, f + head, n);
    if (op == 8) closed++;
    if (op <= 2) {
      frames++;
      const char *p = (const char *)f + head, *end = p + n;
      while ((p = memmem(p, end - p, "{\"c\":", 5))) p = stamp(k, p, end, at);
    }
    used += head + n;
  }
  return used;
}

static char buffer[BUFFER];

static int readable(conn *k) {
  memcpy(buffer, k->left, k->have);
  ssize_t n = read(k->fd, buffer + k->have, BUFFER - k->have);
  if (n < 0 && errno == EAGAIN) return 1;
  if (n <= 0) {
    closed++;
    return 0;
  }
  size_t have = k->have + n, used = take(k, buffer, have, now());
  k->have = have - used;
  if (k->have > k->room) {
    k->room = k->have * 2;
    k->left = realloc(k->left, k->room);
  }
  memcpy(k->left, buffer + used, k->have);
  return 1;
}

static struct sockaddr_in address;
static const char *host, *path;
static char **tokens;
static int token_count, opened;

static void open_one(int poll) {
  conn *k = calloc(1, sizeof *k);
  int one = 1;
  k->left = malloc(k->room = 256);
  k->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (k->fd < 0 || connect(k->fd, (struct sockaddr *)&address, sizeof address)) {
    perror("reader: connect");
    exit(1);
  }
  setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  char out[4096];
  int n = snprintf(out, sizeof out, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", path, host);
  if (token_count)
    n += snprintf(out + n, sizeof out - n, "Authorization: Bearer %s\r\nSec-WebSocket-Protocol: weir\r\n", tokens[opened % token_count]);
  n += snprintf(out + n, sizeof out - n, "\r\n");
  if (n >= (int)sizeof out || write(k->fd, out, n) != n) {
    perror("reader: write");
    exit(1);
  }
  fcntl(k->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = k};
  epoll_ctl(poll, EPOLL_CTL_ADD, k->fd, &e);
  opened++;
}

static int64_t percentile(double share) {
  uint64_t want = measured * share, seen = 0;
  for (int i = 0; i < BUCKETS; i++)
    if ((seen += buckets[i]) > want) return zero + (int64_t)i * STEP + STEP / 2;
  return 0;
}

static void print(void) {
  printf("{\"connections\":%d,\"messages\":%lu,\"measured\":%lu,\"received\":%lu,\"missing\":%lu,\"again\":%lu,\"corrupted\":%lu,\"closed\":%lu,"
    "\"frames\":%lu,\"counted\":%lu,\"cpuSeconds\":%.6f,\"p50\":%ld,\"p99\":%ld,\"firstArrival\":%ld,\"slot\":%d,\"arrivals\":[",
    opened, messages, measured, received, missing, again, corrupted, closed, frames, messages - before, cpu_after - cpu_before, percentile(.5),
    percentile(.99), first_arrival, SLOT);
  int last = SLOTS;
  while (last > 0 && !slots[last - 1]) last--;
  for (int i = 0; i < last; i++) printf("%s%u", i ? "," : "", slots[i]);
  printf("]}\n");
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: reader HOST:PORT PATH TOKENS FROM UNTIL\n");
    return 2;
  }
  char *name = strdup(host = argv[1]), *colon = strrchr(name, ':');
  path = argv[2], from = atoll(argv[4]), until = atoll(argv[5]);
  if (colon) *colon = 0;
  address.sin_family = AF_INET;
  if (!colon || inet_pton(AF_INET, name, &address.sin_addr) != 1 || !(address.sin_port = htons(atoi(colon + 1))) || from < 0 || until <= from) {
    fprintf(stderr, "reader: expected an address such as 127.0.0.1:8080, and FROM before UNTIL\n");
    return 2;
  }
  if (strcmp(argv[3], "-")) {
    FILE *f = fopen(argv[3], "r");
    char line[2048];
    if (!f) {
      perror(argv[3]);
      return 2;
    }
    while (fgets(line, sizeof line, f)) {
      line[strcspn(line, "\n")] = 0;
      tokens = realloc(tokens, sizeof *tokens * (token_count + 1));
      tokens[token_count++] = strdup(line);
    }
    fclose(f);
  }
  for (int i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int j = 0; j < 8; j++) c = c & 1 ? 0x82f63b78 ^ c >> 1 : c >> 1;
    crc_table[i] = c;
  }
  int poll = epoll_create1(0);
  struct epoll_event in = {.events = EPOLLIN, .data.ptr = 0}, events[256];
  epoll_ctl(poll, EPOLL_CTL_ADD, 0, &in);
  for (;;) {
    int n = epoll_wait(poll, events, 256, -1);
    for (int i = 0; i < n; i++) {
      conn *k = events[i].data.ptr;
      if (k) {
        if (!readable(k)) epoll_ctl(poll, EPOLL_CTL_DEL, k->fd, 0);
        continue;
      }
      char orders[4096];
      ssize_t got = read(0, orders, sizeof orders);
      if (got <= 0) {
        cpu_after = cpu();
        if (cpu_before < 0) cpu_before = cpu_after;
        print();
        return 0;
      }
      for (ssize_t j = 0; j < got; j++)
        if (orders[j] == '+') open_one(poll);
    }
  }
}
