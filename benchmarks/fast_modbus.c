/* A Modbus TCP responder that costs as little as possible, so that a client is what is measured.
 *
 *     fast_modbus PORT      (loopback only; ends on SIGTERM)
 *
 * Answers functions 3 and 4 only. Registers 2i and 2i+1 hold the float i / 2, high word first.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX 1024
#define REQUEST_BYTES 12
#define ROOM 4096

static unsigned char image[2 * 65536];
static unsigned char kept[CLIENTS_MAX][ROOM];
static int kept_bytes[CLIENTS_MAX];

static int answer(const unsigned char *request, unsigned char *out)
{
    int function = request[7], start = request[8] << 8 | request[9], count = request[10] << 8 | request[11];
    memcpy(out, request, 8);
    if ((function != 3 && function != 4) || count < 1 || count > 125 || start + count > 65536) {
        out[4] = 0, out[5] = 3, out[7] |= 0x80, out[8] = 2;
        return 9;
    }
    out[4] = 0, out[5] = (unsigned char)(3 + 2 * count), out[8] = (unsigned char)(2 * count);
    memcpy(out + 9, image + 2 * start, 2 * count);
    return 9 + 2 * count;
}

static int serve(int client)
{
    static unsigned char out[ROOM / REQUEST_BYTES * 260];
    int got = read(client, kept[client] + kept_bytes[client], ROOM - kept_bytes[client]);
    if (got <= 0)
        return -1;
    kept_bytes[client] += got;
    int used = 0, made = 0;
    for (; kept_bytes[client] - used >= REQUEST_BYTES; used += REQUEST_BYTES)
        made += answer(kept[client] + used, out + made);
    kept_bytes[client] -= used;
    memmove(kept[client], kept[client] + used, kept_bytes[client]);
    return made && write(client, out, made) != made ? -1 : 0;
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: fast_modbus PORT\n");
        return 2;
    }
    for (int i = 0; i < 32768; i++) {
        float value = i * 0.5f;
        uint32_t bits;
        memcpy(&bits, &value, 4);
        bits = htonl(bits);
        memcpy(image + 4 * i, &bits, 4);
    }
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 512)) {
        perror("fast_modbus");
        return 1;
    }
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[64];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    printf("ready %s\n", arguments[1]);
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(poll, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            int descriptor = events[i].data.fd;
            if (descriptor != listener) {
                if (serve(descriptor))
                    close(descriptor);
                continue;
            }
            int client = accept(listener, NULL, NULL);
            if (client >= CLIENTS_MAX)
                close(client);
            if (client < 0 || client >= CLIENTS_MAX)
                continue;
            setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            kept_bytes[client] = 0;
            event.events = EPOLLIN;
            event.data.fd = client;
            epoll_ctl(poll, EPOLL_CTL_ADD, client, &event);
        }
    }
}
