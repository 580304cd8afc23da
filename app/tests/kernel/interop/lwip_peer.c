/* lwIP as the peer of lwip.rs: its TCP behind a tap of its own, with one connection at a time.
 *
 * lwip_peer TAP OURS THEIRS: the tap's name and two addresses.
 *
 * A request on standard input is a line, a word and a number; so many bytes follow "write". The answer on standard output is a line with
 * a number, which is an errno where it is below zero; so many bytes follow that of "read". Only "connect" waits for the other end.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <lwip/etharp.h>
#include <lwip/netif.h>
#include <lwip/sockets.h>
#include <lwip/tcpip.h>

#define FRAME 1518

/* Segments that shut a window: ours, and the other end's. */
static atomic_long here, there;

static in_addr_t ours, theirs;
static int listener = -1, stream = -1;
static char buffer[1 << 16];

_Noreturn static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* -- The tap. lwIP's own driver receives into its pool of buffers, and in Debian's 2.1.3 writes past their end. -- */

static int tap;

static int shuts_a_window(const char *frame, int len)
{
    const unsigned char *bytes = (const unsigned char *)frame;
    if (len < 14 + 20 || bytes[12] != 8 || bytes[13] != 0 || bytes[23] != IPPROTO_TCP)
        return 0;
    int tcp = 14 + (bytes[14] & 15) * 4;
    /* The fourteenth byte of the header has RST, the next two the window. */
    return len >= tcp + 16 && !(bytes[tcp + 13] & 4) && !bytes[tcp + 14] && !bytes[tcp + 15];
}

static err_t transmit(struct netif *netif, struct pbuf *packet)
{
    char frame[FRAME];
    int len = pbuf_copy_partial(packet, frame, sizeof frame, 0);
    (void)netif;
    here += shuts_a_window(frame, len);
    return write(tap, frame, len) == len ? ERR_OK : ERR_IF;
}

static void *receive_frames(void *netif)
{
    char frame[FRAME];
    int len;
    while ((len = read(tap, frame, sizeof frame)) > 0) {
        struct pbuf *packet = pbuf_alloc(PBUF_RAW, len, PBUF_RAM);
        there += shuts_a_window(frame, len);
        if (packet && pbuf_take(packet, frame, len) == ERR_OK && tcpip_input(packet, netif) == ERR_OK)
            continue;
        if (packet)
            pbuf_free(packet);
    }
    fail("read from the tap");
}

static err_t describe(struct netif *netif)
{
    static const unsigned char address[6] = {2, 0, 0, 0, 9, 1};
    memcpy(netif->hwaddr, address, sizeof address);
    netif->hwaddr_len = sizeof address;
    netif->mtu = 1500;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    netif->output = etharp_output;
    netif->linkoutput = transmit;
    return ERR_OK;
}

static void open_tap(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    tap = open("/dev/net/tun", O_RDWR);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request) < 0)
        fail(name);
}

static void start(void)
{
    static struct netif netif;
    ip4_addr_t address = {ours}, mask = {htonl(0xffffff00)}, no_gateway = {0};
    pthread_t receiver;
    /* Ports and sequence numbers come from rand(). */
    srand(time(NULL));
    tcpip_init(NULL, NULL);
    LOCK_TCPIP_CORE();
    netif_add(&netif, &address, &mask, &no_gateway, NULL, describe, tcpip_input);
    netif_set_link_up(&netif);
    netif_set_up(&netif);
    UNLOCK_TCPIP_CORE();
    if (pthread_create(&receiver, NULL, receive_frames, &netif))
        fail("a thread");
}

/* -- Requests: each returns the number to answer with; below zero, errno is the answer. -- */

static int new_socket(void)
{
    return lwip_socket(AF_INET, SOCK_STREAM, 0);
}

static int never_wait(int socket)
{
    return lwip_fcntl(socket, F_SETFL, O_NONBLOCK);
}

static struct sockaddr_in at(in_addr_t host, long port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_port = htons(port);
    address.sin_addr.s_addr = host;
    return address;
}

static long connect_to(long port)
{
    struct sockaddr_in to = at(theirs, port);
    stream = new_socket();
    if (lwip_connect(stream, (struct sockaddr *)&to, sizeof to) < 0)
        return -1;
    return never_wait(stream);
}

static long listen_at(long port)
{
    struct sockaddr_in address = at(ours, port);
    listener = new_socket();
    if (lwip_bind(listener, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    if (lwip_listen(listener, 1) < 0)
        return -1;
    return never_wait(listener);
}

static long accept_one(long unused)
{
    (void)unused;
    stream = lwip_accept(listener, NULL, NULL);
    if (stream < 0)
        return -1;
    lwip_close(listener);
    return never_wait(stream);
}

static long receive(long most)
{
    size_t room = most < (long)sizeof buffer ? (size_t)most : sizeof buffer;
    return lwip_recv(stream, buffer, room, 0);
}

static long send_some(long len)
{
    if ((size_t)len > sizeof buffer || fread(buffer, 1, len, stdin) != (size_t)len)
        fail("a request's bytes");
    return lwip_send(stream, buffer, len, 0);
}

static long finish(long unused)
{
    (void)unused;
    return lwip_shutdown(stream, SHUT_WR);
}

static long close_both_ways(long unused)
{
    (void)unused;
    return lwip_close(stream);
}

static long shut_here(long unused)
{
    (void)unused;
    return here;
}

static long shut_there(long unused)
{
    (void)unused;
    return there;
}

static const struct {
    const char *word;
    long (*answer)(long);
} requests[] = {
    {"connect", connect_to},
    {"listen", listen_at},
    {"accept", accept_one},
    {"read", receive},
    {"write", send_some},
    {"finish", finish},
    {"close", close_both_ways},
    {"here", shut_here},
    {"there", shut_there},
};

static long answer(const char *word, long number)
{
    for (size_t at = 0; at < sizeof requests / sizeof *requests; at++)
        if (!strcmp(word, requests[at].word))
            return requests[at].answer(number);
    errno = EINVAL;
    return -1;
}

int main(int argc, char **argv)
{
    char line[64], word[16];
    long number;
    if (argc != 4) {
        fprintf(stderr, "usage: lwip_peer TAP OURS THEIRS\n");
        return 2;
    }
    open_tap(argv[1]);
    ours = inet_addr(argv[2]);
    theirs = inet_addr(argv[3]);
    start();
    while (fgets(line, sizeof line, stdin) && sscanf(line, "%15s %ld", word, &number) == 2) {
        long result = answer(word, number);
        printf("%ld\n", result < 0 ? -(long)errno : result);
        if (result > 0 && !strcmp(word, "read"))
            fwrite(buffer, 1, result, stdout);
        fflush(stdout);
    }
    return 0;
}
