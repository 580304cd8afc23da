/* lwIP as a peer of the bench: the services of `darner-bench serve` over a tap device, by lwIP's raw API.
 *
 * `darner-peer-lwip TAP respond|sink|source` has 10.0.0.2/24 and port 7000, says "ready", and ends with its standard input. One thread
 * polls the device and never rests.
 *
 * The tap port of Debian's library writes full frames behind its pool's buffers, which are made for segments of 536 bytes; so the port is
 * our own, and takes its buffers from the heap. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_tun.h>

#include <lwip/etharp.h>
#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <lwip/tcpip.h>
#include <netif/ethernet.h>

enum role { RESPOND, SINK, SOURCE };

static const char *const NAMES[] = {"respond", "sink", "source"};
static enum role role;
static struct netif tap;
static int device;
static char fill[16384];

/* What is to be sent on a connection and found no room: 64 bytes for each 64 read. */
struct peer {
    size_t owed;
};

static void end(struct tcp_pcb *pcb, struct peer *peer)
{
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
    free(peer);
}

/* Sends as much as there is room for. */
static void go_on(struct tcp_pcb *pcb, struct peer *peer)
{
    for (;;) {
        size_t len = role == SOURCE ? sizeof fill : peer->owed;
        size_t room = tcp_sndbuf(pcb);

        if (len > room)
            len = room;
        if (len > sizeof fill)
            len = sizeof fill;
        /* The bytes stay what they are, so that they need not be copied. */
        if (len == 0 || tcp_write(pcb, fill, (u16_t)len, 0) != ERR_OK)
            break;
        if (role == RESPOND)
            peer->owed -= len;
    }
    tcp_output(pcb);
}

static err_t received(void *arg, struct tcp_pcb *pcb, struct pbuf *bytes, err_t error)
{
    struct peer *peer = arg;

    (void)error;
    if (bytes == NULL) {
        end(pcb, peer);
        if (tcp_close(pcb) == ERR_OK)
            return ERR_OK;
        tcp_abort(pcb);
        return ERR_ABRT;
    }
    tcp_recved(pcb, bytes->tot_len);
    if (role == RESPOND)
        peer->owed += bytes->tot_len;
    pbuf_free(bytes);
    if (role == RESPOND)
        go_on(pcb, peer);
    return ERR_OK;
}

static err_t sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    (void)len;
    go_on(pcb, arg);
    return ERR_OK;
}

/* lwIP has freed the connection. */
static void failed(void *arg, err_t error)
{
    (void)error;
    free(arg);
}

static err_t accepted(void *arg, struct tcp_pcb *pcb, err_t error)
{
    struct peer *peer;

    (void)arg;
    if (error != ERR_OK || pcb == NULL)
        return ERR_VAL;
    peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return ERR_MEM;
    tcp_arg(pcb, peer);
    tcp_recv(pcb, received);
    tcp_sent(pcb, sent);
    tcp_err(pcb, failed);
    tcp_nagle_disable(pcb);
    if (role == SOURCE)
        go_on(pcb, peer);
    return ERR_OK;
}

static void fail(const char *what)
{
    fprintf(stderr, "darner-peer-lwip: %s\n", what);
    exit(3);
}

/* A frame leaves. */
static err_t transmit(struct netif *netif, struct pbuf *frame)
{
    char bytes[1514];
    u16_t len = pbuf_copy_partial(frame, bytes, sizeof bytes, 0);

    (void)netif;
    return write(device, bytes, len) == len ? ERR_OK : ERR_IF;
}

static err_t begin(struct netif *netif)
{
    static const u8_t station[6] = {2, 0, 0, 0, 0, 2};

    netif->name[0] = 't';
    netif->name[1] = 'p';
    netif->output = etharp_output;
    netif->linkoutput = transmit;
    netif->mtu = 1500;
    netif->hwaddr_len = sizeof station;
    memcpy(netif->hwaddr, station, sizeof station);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    return ERR_OK;
}

/* Frames that arrive are taken in on this thread, while it holds lwIP's lock. */
static void *poll_device(void *arg)
{
    char bytes[1514];

    (void)arg;
    for (;;) {
        ssize_t len = read(device, bytes, sizeof bytes);
        struct pbuf *frame;

        if (len <= 0)
            continue;
        LOCK_TCPIP_CORE();
        frame = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);
        if (frame != NULL) {
            pbuf_take(frame, bytes, (u16_t)len);
            if (ethernet_input(frame, &tap) != ERR_OK)
                pbuf_free(frame);
        }
        UNLOCK_TCPIP_CORE();
    }
    return NULL;
}

static void open_device(const char *name)
{
    struct ifreq request = {0};

    device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (device < 0 || ioctl(device, TUNSETIFF, &request) < 0) {
        fprintf(stderr, "darner-peer-lwip: no tap device %s, which needs root: %s\n", name, strerror(errno));
        exit(3);
    }
}

static void start(void *arg)
{
    pthread_t thread;
    ip4_addr_t address, mask, gateway;
    struct tcp_pcb *listener;

    (void)arg;
    IP4_ADDR(&address, 10, 0, 0, 2);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    IP4_ADDR(&gateway, 0, 0, 0, 0);
    if (netif_add(&tap, &address, &mask, &gateway, NULL, begin, tcpip_input) == NULL)
        fail("lwIP does not take the device");
    netif_set_default(&tap);
    netif_set_link_up(&tap);
    netif_set_up(&tap);
    listener = tcp_new();
    if (listener == NULL || tcp_bind(listener, IP_ANY_TYPE, 7000) != ERR_OK)
        fail("lwIP does not listen");
    listener = tcp_listen(listener);
    tcp_accept(listener, accepted);
    if (pthread_create(&thread, NULL, poll_device, NULL) != 0)
        fail("there is no second thread");
    printf("ready on lwip\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char bytes[64];
    size_t index = 0;

    while (argc == 3 && index < 3 && strcmp(argv[2], NAMES[index]) != 0)
        index++;
    if (argc != 3 || index == 3) {
        fprintf(stderr, "usage: darner-peer-lwip TAP respond|sink|source\n");
        return 2;
    }
    role = (enum role)index;
    memset(fill, 'x', sizeof fill);
    open_device(argv[1]);
    tcpip_init(start, NULL);
    while (read(STDIN_FILENO, bytes, sizeof bytes) > 0)
        ;
    return 0;
}
