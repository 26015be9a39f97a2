/* SPDX-License-Identifier: MIT */
/* httpd: serves the files below a directory by HTTP/1.1.
 *
 * A task a connection, which reads a request, answers it, and reads the next. Requests are parsed by http-parser as the bytes come in; what one read brought
 * beyond the end of a request stays in `in`, so several requests in one packet are answered one after the other.
 *
 * Time. Whoever is slow gets a deadline, each by a scope around the calls in question:
 *
 *   --idle      until a request begins; then the connection is closed without a word
 *   --header    from a request's first byte to its last; then 408
 *   --send      for every piece of an answer, of 256 KiB or what is left; then the connection is reset
 *
 * Paths. What a client sends as a path is decoded and given to openat2(2) with RESOLVE_BENEATH: the kernel refuses whatever leads out of the directory, by `..`, by an
 * absolute path or by a link. It has no call of filch. What the kernel has in its cache is opened at once (RESOLVE_CACHED), anything else on a thread of
 * filch_blocking, as is the listing of a directory.
 *
 * Answers. The headers are held back by MSG_MORE until the first bytes of the body follow, so that a small file leaves with them in one packet. To read a small file behind
 * the headers and send both at once was no cheaper (4 KB and 16 KB, median of nine: the same within 3 %).
 *
 * The end. An answer to a request that was not read to its end must not be followed by close(2) at once: what still comes in would be answered by a reset, which
 * may overtake the answer. So the writing side is shut down first, and what comes is thrown away for a while (`linger`).
 *
 * There are no bodies of requests: whoever sends one is told that it is too large (413), or in no known coding (501). */
#include "common.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <linux/openat2.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TARGET_MAX 2048
#define VALUE_MAX 128
#define HEADERS_MAX (16 << 10)
#define IN_SIZE (8 << 10)
#define OUT_SIZE (TARGET_MAX + 1024)
#define PIECE (256 << 10)
#define DATE_SIZE 32
#define IN_A_ROW 64 /* requests that are served without a look at other tasks */

static int root;
static long header_seconds = 10, idle_seconds = 60, send_seconds = 60;
static bool verbose;

/* The headers that matter here; others are passed over. */
enum header { HOST, RANGE, IF_RANGE, IF_MODIFIED_SINCE, IF_NONE_MATCH, HEADERS, OTHER = HEADERS };

static const char *const header_names[HEADERS] = {"host", "range", "if-range", "if-modified-since", "if-none-match"};

struct request {
    bool begun, in_value, ended;
    int error; /* a status that the headers deserve, or 0 */
    char target[TARGET_MAX + 1], name[24];
    size_t target_size, name_size;
    enum header header; /* whose value is coming */
    int seen[HEADERS];
    char values[HEADERS][VALUE_MAX + 1];
    size_t value_sizes[HEADERS];
};

struct answer {
    int status;
    int64_t length;             /* of the body */
    const char *type;           /* of the body */
    char more[TARGET_MAX + 64]; /* further lines */
    char *text;                 /* the body, from malloc(3); NULL: */
    int file;                   /* ... from `from` on; -1: a line that names the status */
    off_t from;
    bool close; /* the connection afterwards */
};

struct connection {
    int fd;
    http_parser parser;
    struct request request;
    struct answer answer;
    char path[TARGET_MAX + 16], raw[TARGET_MAX + 1]; /* what is asked for: decoded, and as it was sent */
    size_t begin, end;                               /* of what is in `in` */
    time_t date_of;
    char date[DATE_SIZE], peer[INET6_ADDRSTRLEN];
    char in[IN_SIZE], out[OUT_SIZE];
};

/* ---- parsing ---- */

static int on_begin(http_parser *parser)
{
    struct request *request = parser->data;
    request->begun = true;
    return 0;
}

static int on_target(http_parser *parser, const char *bytes, size_t count)
{
    struct request *request = parser->data;
    if (count > TARGET_MAX - request->target_size) {
        request->error = HTTP_STATUS_URI_TOO_LONG;
        return 0;
    }
    memcpy(request->target + request->target_size, bytes, count);
    request->target_size += count;
    return 0;
}

static int on_name(http_parser *parser, const char *bytes, size_t count)
{
    struct request *request = parser->data;
    if (request->in_value)
        request->name_size = 0;
    request->in_value = false;
    for (size_t i = 0; i < count; i++, request->name_size++)
        if (request->name_size < sizeof request->name)
            request->name[request->name_size] = (char)tolower((unsigned char)bytes[i]);
    return 0;
}

static enum header header_of(const struct request *request)
{
    for (enum header header = 0; header < HEADERS; header++)
        if (request->name_size == strlen(header_names[header]) && memcmp(request->name, header_names[header], request->name_size) == 0)
            return header;
    return OTHER;
}

static int on_value(http_parser *parser, const char *bytes, size_t count)
{
    struct request *request = parser->data;
    if (!request->in_value) {
        request->in_value = true;
        request->header = header_of(request);
        if (request->header != OTHER)
            request->seen[request->header]++;
    }
    if (request->header == OTHER)
        return 0;
    size_t *size = &request->value_sizes[request->header];
    if (count > VALUE_MAX - *size)
        count = VALUE_MAX - *size; /* too long to be anything that is understood here */
    memcpy(request->values[request->header] + *size, bytes, count);
    *size += count;
    return 0;
}

static int on_headers(http_parser *parser)
{
    struct request *request = parser->data;
    if (request->error)
        return 0;
    if (parser->http_major != 1)
        request->error = HTTP_STATUS_HTTP_VERSION_NOT_SUPPORTED;
    else if (request->seen[HOST] > 1 || (parser->http_minor > 0 && request->seen[HOST] == 0))
        request->error = HTTP_STATUS_BAD_REQUEST;
    else if (parser->uses_transfer_encoding)
        request->error = HTTP_STATUS_NOT_IMPLEMENTED;
    else if (parser->flags & F_CONTENTLENGTH && parser->content_length > 0)
        request->error = HTTP_STATUS_PAYLOAD_TOO_LARGE;
    return request->error ? 1 : 0; /* 1: without a look at the body */
}

static int on_end(http_parser *parser)
{
    struct request *request = parser->data;
    request->ended = true;
    http_parser_pause(parser, 1); /* what follows is the next request */
    return 0;
}

static const http_parser_settings callbacks = {
    .on_message_begin = on_begin,
    .on_url = on_target,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_headers,
    .on_message_complete = on_end,
};

/* Gives the parser what is there. @return 0, or a status */
static int parse(struct connection *connection)
{
    http_parser *parser = &connection->parser;
    connection->begin += http_parser_execute(parser, &callbacks, connection->in + connection->begin, connection->end - connection->begin);
    switch (HTTP_PARSER_ERRNO(parser)) {
    case HPE_OK:
    case HPE_PAUSED:
        return 0;
    case HPE_HEADER_OVERFLOW:
        return HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE;
    case HPE_INVALID_TRANSFER_ENCODING:
        return HTTP_STATUS_NOT_IMPLEMENTED;
    default:
        return HTTP_STATUS_BAD_REQUEST;
    }
}

/* Reads one request. @return 0; 1: the connection is over, and nothing was asked; a status that is to be sent; -errno */
static int read_request(struct connection *connection)
{
    struct request *request = &connection->request;
    int64_t until = filch_after(FILCH_SEC(idle_seconds));
    *request = (struct request){0};
    http_parser_init(&connection->parser, HTTP_REQUEST);
    connection->parser.data = request;
    for (bool begun = false;;) {
        if (connection->begin < connection->end) {
            int status = parse(connection);
            if (status || request->ended)
                return status ? status : request->error;
        }
        if (request->begun && !begun)
            until = filch_after(FILCH_SEC(header_seconds));
        begun = request->begun;
        FILCH_SCOPE_UNTIL(patience, until);
        ssize_t n = filch_recv(connection->fd, connection->in, IN_SIZE, 0);
        if (n == -ETIMEDOUT)
            return begun ? HTTP_STATUS_REQUEST_TIMEOUT : 1;
        if (n <= 0)
            return n < 0 ? (int)n : 1;
        connection->begin = 0;
        connection->end = (size_t)n;
    }
}

/* ---- paths ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes the path of the target, without the slashes that it begins with, to `path`; as it was sent, to `raw`. @return 0, or a status */
static int decode_path(struct connection *connection)
{
    const struct request *request = &connection->request;
    struct http_parser_url url;
    http_parser_url_init(&url);
    if (http_parser_parse_url(request->target, request->target_size, false, &url) != 0)
        return HTTP_STATUS_BAD_REQUEST;
    const char *raw = request->target + url.field_data[UF_PATH].off;
    size_t size = url.field_set & 1 << UF_PATH ? url.field_data[UF_PATH].len : 0, length = 0;
    for (; size > 0 && *raw == '/'; size--)
        raw++;
    for (size_t i = 0; i < size; i++) {
        int c = (unsigned char)raw[i];
        if (c == '%') {
            int high = i + 2 < size ? hex(raw[i + 1]) : -1, low = i + 2 < size ? hex(raw[i + 2]) : -1;
            c = high * 16 + low;
            if (high < 0 || low < 0 || c == 0)
                return HTTP_STATUS_BAD_REQUEST;
            i += 2;
        }
        connection->path[length++] = (char)c;
    }
    connection->path[length] = 0;
    memcpy(connection->raw, raw, size);
    connection->raw[size] = 0;
    return 0;
}

static int open_beneath(const char *path, uint64_t resolve)
{
    /* O_NONBLOCK: opening a FIFO doesn't wait for its other end. */
    const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, .resolve = RESOLVE_BENEATH | resolve};
    return or_error((int)syscall(SYS_openat2, root, path, &how, sizeof how));
}

static int open_slowly(void *path)
{
    return open_beneath(path, 0);
}

static int open_path(char *path)
{
    int fd = open_beneath(*path ? path : ".", RESOLVE_CACHED);
    return fd == -EAGAIN || fd == -EINVAL ? filch_blocking(open_slowly, path) : fd; /* -EINVAL: Linux before 5.12 */
}

static int status_of(int error)
{
    switch (error) {
    case -ENOENT:
    case -ENOTDIR:
    case -ENAMETOOLONG:
    case -ELOOP:
    case -EXDEV: /* out of the directory */
        return HTTP_STATUS_NOT_FOUND;
    case -EACCES:
    case -EPERM:
        return HTTP_STATUS_FORBIDDEN;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EAGAIN:
        return HTTP_STATUS_SERVICE_UNAVAILABLE;
    default:
        return HTTP_STATUS_INTERNAL_SERVER_ERROR;
    }
}

/* ---- files ---- */

static const char *type_of(const char *path)
{
    static const char *const types[][2] = {
        {"html", "text/html; charset=utf-8"},
        {"htm", "text/html; charset=utf-8"},
        {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"mjs", "text/javascript; charset=utf-8"},
        {"txt", "text/plain; charset=utf-8"},
        {"md", "text/markdown; charset=utf-8"},
        {"csv", "text/csv; charset=utf-8"},
        {"c", "text/plain; charset=utf-8"},
        {"h", "text/plain; charset=utf-8"},
        {"json", "application/json"},
        {"xml", "application/xml"},
        {"pdf", "application/pdf"},
        {"wasm", "application/wasm"},
        {"zip", "application/zip"},
        {"gz", "application/gzip"},
        {"svg", "image/svg+xml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"ico", "image/x-icon"},
        {"woff2", "font/woff2"},
        {"mp3", "audio/mpeg"},
        {"ogg", "audio/ogg"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
    };
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (strcasecmp(dot + 1, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

static void format_date(time_t time, char date[DATE_SIZE])
{
    struct tm tm;
    gmtime_r(&time, &tm);
    strftime(date, DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static bool is_modified(const struct request *request, time_t modified)
{
    struct tm tm = {0};
    if (request->seen[IF_NONE_MATCH] || !request->seen[IF_MODIFIED_SINCE])
        return true;
    const char *end = strptime(request->values[IF_MODIFIED_SINCE], "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return !end || *end || timegm(&tm) < modified;
}

/* Takes a number off `*at`. @return whether there is one */
static bool take_number(const char **at, int64_t *ret_number)
{
    const char *begin = *at;
    *ret_number = 0;
    for (; isdigit((unsigned char)**at); ++*at)
        *ret_number = *ret_number < INT64_MAX / 10 ? *ret_number * 10 + (**at - '0') : INT64_MAX;
    return *at > begin;
}

/* Of a file with `size` bytes, which are asked for? What is not one range of bytes asks for all. @return 200, 206, or 416 */
static int choose_range(const char *value, int64_t size, int64_t *ret_from, int64_t *ret_length)
{
    int64_t first, last;
    *ret_from = 0;
    *ret_length = size;
    if (strncasecmp(value, "bytes=", 6) != 0)
        return HTTP_STATUS_OK;
    value += 6;
    bool has_first = take_number(&value, &first);
    if (*value++ != '-')
        return HTTP_STATUS_OK;
    bool has_last = take_number(&value, &last);
    if (*value || !(has_first || has_last) || (has_first && has_last && first > last))
        return HTTP_STATUS_OK;
    if (has_first ? first >= size : last == 0 || size == 0)
        return HTTP_STATUS_RANGE_NOT_SATISFIABLE;
    if (!has_first) /* the last bytes */
        first = last < size ? size - last : 0;
    if (!(has_first && has_last) || last >= size)
        last = size - 1;
    *ret_from = first;
    *ret_length = last - first + 1;
    return HTTP_STATUS_PARTIAL_CONTENT;
}

static void answer_file(struct connection *connection, struct answer *answer, const struct stat *stat, const char *path)
{
    const struct request *request = &connection->request;
    char date[DATE_SIZE];
    format_date(stat->st_mtime, date);
    int n = snprintf(answer->more, sizeof answer->more, "Last-Modified: %s\r\nAccept-Ranges: bytes\r\n", date);
    answer->status = HTTP_STATUS_OK;
    answer->length = stat->st_size;
    answer->type = type_of(path);
    if (!is_modified(request, stat->st_mtime)) {
        answer->status = HTTP_STATUS_NOT_MODIFIED;
    } else if (request->seen[RANGE] == 1 && connection->parser.method == HTTP_GET &&
               (!request->seen[IF_RANGE] || strcmp(request->values[IF_RANGE], date) == 0)) {
        int64_t size = stat->st_size;
        answer->status = choose_range(request->values[RANGE], size, &answer->from, &answer->length);
        if (answer->status == HTTP_STATUS_PARTIAL_CONTENT)
            snprintf(answer->more + n, sizeof answer->more - (size_t)n, "Content-Range: bytes %lld-%lld/%lld\r\n", (long long)answer->from,
                     (long long)(answer->from + answer->length - 1), (long long)size);
        else if (answer->status == HTTP_STATUS_RANGE_NOT_SATISFIABLE)
            snprintf(answer->more, sizeof answer->more, "Content-Range: bytes */%lld\r\n", (long long)size);
    }
    if (answer->status == HTTP_STATUS_RANGE_NOT_SATISFIABLE || answer->status == HTTP_STATUS_NOT_MODIFIED) {
        filch_close(answer->file);
        answer->file = -1;
    }
}

/* ---- directories ---- */

static void put_html(FILE *page, const char *text)
{
    for (; *text; text++)
        if (strchr("&<>\"'", *text))
            fprintf(page, "&#%d;", *text);
        else
            putc(*text, page);
}

static void put_encoded(FILE *page, const char *text)
{
    for (; *text; text++)
        if (isalnum((unsigned char)*text) || strchr("-._~", *text))
            putc(*text, page);
        else
            fprintf(page, "%%%02X", (unsigned char)*text);
}

static void put_entry(FILE *page, const struct dirent *entry)
{
    const char *slash = entry->d_type == DT_DIR ? "/" : "";
    fputs("<li><a href=\"", page);
    put_encoded(page, entry->d_name);
    fprintf(page, "%s\">", slash);
    put_html(page, entry->d_name);
    fprintf(page, "%s</a>\n", slash);
}

struct listing {
    int fd;
    const char *path;
    char *text;
    size_t size;
};

/* On a thread of filch_blocking. */
static int list(void *arg)
{
    struct listing *listing = arg;
    struct dirent **entries;
    int count = or_error(scandirat(listing->fd, ".", &entries, NULL, alphasort));
    if (count < 0)
        return count;
    FILE *page = open_memstream(&listing->text, &listing->size);
    if (page) {
        fputs("<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>/", page);
        put_html(page, listing->path);
        fputs("</title>\n<ul>\n", page);
    }
    for (int i = 0; i < count; i++) {
        bool shown = strcmp(entries[i]->d_name, ".") != 0 && (*listing->path || strcmp(entries[i]->d_name, "..") != 0);
        if (page && shown)
            put_entry(page, entries[i]);
        free(entries[i]);
    }
    free(entries);
    if (!page)
        return -ENOMEM;
    fputs("</ul>\n", page);
    return fclose(page) == 0 ? 0 : -ENOMEM;
}

static void answer_listing(struct connection *connection, struct answer *answer, int fd)
{
    struct listing listing = {.fd = fd, .path = connection->path};
    int r = filch_blocking(list, &listing);
    if (r < 0) {
        free(listing.text);
        answer->status = status_of(r);
        return;
    }
    answer->status = HTTP_STATUS_OK;
    answer->text = listing.text;
    answer->length = (int64_t)listing.size;
    answer->type = "text/html; charset=utf-8";
}

static void answer_directory(struct connection *connection, struct answer *answer, int fd)
{
    char *end = connection->path + strlen(connection->path);
    struct stat stat;
    if (end > connection->path && end[-1] != '/') { /* else what the page refers to would be looked for a floor too high */
        answer->status = HTTP_STATUS_MOVED_PERMANENTLY;
        snprintf(answer->more, sizeof answer->more, "Location: /%s/\r\n", connection->raw);
        return;
    }
    strcpy(end, "index.html");
    answer->file = open_path(connection->path);
    if (answer->file >= 0 && fstat(answer->file, &stat) == 0 && S_ISREG(stat.st_mode)) {
        answer_file(connection, answer, &stat, connection->path);
        return;
    }
    if (answer->file >= 0)
        filch_close(answer->file);
    answer->file = -1;
    *end = 0;
    answer_listing(connection, answer, fd);
}

/* ---- answers ---- */

static void answer_path(struct connection *connection, struct answer *answer)
{
    struct stat stat;
    answer->status = decode_path(connection);
    if (answer->status)
        return;
    int fd = open_path(connection->path);
    if (fd < 0) {
        answer->status = status_of(fd);
        return;
    }
    if (fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode)) {
        answer->file = fd;
        answer_file(connection, answer, &stat, connection->path);
        return;
    }
    if (S_ISDIR(stat.st_mode))
        answer_directory(connection, answer, fd);
    else
        answer->status = HTTP_STATUS_FORBIDDEN;
    filch_close(fd);
}

static const char *date_now(struct connection *connection)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != connection->date_of) {
        connection->date_of = now.tv_sec;
        format_date(now.tv_sec, connection->date);
    }
    return connection->date;
}

/* Writes the headers to `out`. @return how many bytes */
static size_t put_headers(struct connection *connection, struct answer *answer)
{
    const char *status = http_status_str((enum http_status)answer->status);
    char *out = connection->out;
    bool has_body = answer->status != HTTP_STATUS_NOT_MODIFIED;
    if (answer->file < 0 && !answer->text && has_body) {
        answer->type = "text/plain; charset=utf-8";
        answer->length = asprintf(&answer->text, "%d %s\n", answer->status, status);
        if (answer->length < 0) {
            answer->text = NULL;
            answer->length = 0;
        }
    }
    int n = snprintf(out, OUT_SIZE, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s", answer->status, status, date_now(connection), answer->more);
    if (has_body)
        n += snprintf(out + n, OUT_SIZE - (size_t)n, "Content-Type: %s\r\nContent-Length: %lld\r\n", answer->type,
                      (long long)answer->length);
    n += snprintf(out + n, OUT_SIZE - (size_t)n, "%s\r\n",
                  answer->close                        ? "Connection: close\r\n"
                  : connection->parser.http_minor == 0 ? "Connection: keep-alive\r\n"
                                                       : "");
    return (size_t)n;
}

static int send_bytes(int fd, const char *bytes, size_t count, int flags)
{
    FILCH_SCOPE_UNTIL(patience, filch_after(FILCH_SEC(send_seconds)));
    return filch_send_all(fd, bytes, count, flags, NULL);
}

static int send_piece(int fd, int file, off_t *from, size_t count)
{
    FILCH_SCOPE_UNTIL(patience, filch_after(FILCH_SEC(send_seconds)));
    ssize_t n = filch_sendfile(fd, file, from, count);
    return n < 0 ? (int)n : n == (ssize_t)count ? 0 : filch_cancelled() < 0 ? filch_cancelled() : -EIO; /* -EIO: it has become shorter */
}

static int send_body(struct connection *connection, const struct answer *answer)
{
    int64_t left = answer->length;
    off_t from = answer->from;
    int r = 0;
    if (answer->text)
        return send_bytes(connection->fd, answer->text, (size_t)left, 0);
    for (size_t piece; r == 0 && left > 0; left -= (int64_t)piece) {
        piece = left < PIECE ? (size_t)left : PIECE;
        r = send_piece(connection->fd, answer->file, &from, piece);
        filch_yield(); /* a client that is quick makes nothing wait */
    }
    return r;
}

static void log_line(const struct connection *connection, const struct answer *answer)
{
    const struct request *request = &connection->request;
    char target[4 * TARGET_MAX / 2 + 1]; /* escaped, and cut if need be */
    size_t n = 0;
    for (size_t i = 0; i < request->target_size && n + 5 < sizeof target; i++) {
        unsigned char c = (unsigned char)request->target[i];
        n += (size_t)snprintf(target + n, 5, c < ' ' || c > '~' || c == '"' || c == '\\' ? "\\x%02x" : "%c", c);
    }
    target[n] = 0;
    printf("%s \"%s %s HTTP/%d.%d\" %d %lld\n", connection->peer, http_method_str((enum http_method)connection->parser.method), target,
           connection->parser.http_major, connection->parser.http_minor, answer->status, (long long)answer->length);
    fflush(stdout);
}

/* @return 0: the connection goes on; 1: it ends; -errno */
static int answer_request(struct connection *connection, int status)
{
    const struct http_parser *parser = &connection->parser;
    struct answer *answer = &connection->answer;
    *answer = (struct answer){.status = status, .file = -1, .close = status || !http_should_keep_alive(parser)};
    if (!status && parser->method != HTTP_GET && parser->method != HTTP_HEAD) {
        answer->status = HTTP_STATUS_METHOD_NOT_ALLOWED;
        strcpy(answer->more, "Allow: GET, HEAD\r\n");
    } else if (!status) {
        answer_path(connection, answer);
    }
    size_t head = put_headers(connection, answer);
    bool body = answer->length > 0 && answer->status != HTTP_STATUS_NOT_MODIFIED && (status || parser->method != HTTP_HEAD);
    int r = send_bytes(connection->fd, connection->out, head, body ? MSG_MORE : 0);
    if (r == 0 && body)
        r = send_body(connection, answer);
    if (answer->file >= 0)
        filch_close(answer->file);
    free(answer->text);
    if (verbose)
        log_line(connection, answer);
    return r ? r : answer->close;
}

/* ---- connections ---- */

/* Waits a while until the client has seen the answer and closed. */
static void linger(struct connection *connection)
{
    FILCH_SCOPE_UNTIL(patience, filch_after(FILCH_SEC(2)));
    if (filch_shutdown(connection->fd, SHUT_WR) == 0)
        while (filch_recv(connection->fd, connection->in, IN_SIZE, 0) > 0)
            ;
}

static int talk(struct connection *connection)
{
    for (unsigned requests = 1;; requests++) {
        int status = read_request(connection);
        if (status == 1 || status < 0)
            return status < 0 ? status : 0;
        int r = answer_request(connection, status);
        if (r < 0)
            reset_at_close(connection->fd); /* the client must not take a part for the whole */
        else if (r > 0 && (status || connection->begin < connection->end))
            linger(connection);
        if (r)
            return r;
        if (requests % IN_A_ROW == 0)
            filch_yield();
    }
}

static void name_peer(struct connection *connection)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getpeername(connection->fd, (struct sockaddr *)&address, &size) < 0 ||
        getnameinfo((struct sockaddr *)&address, size, connection->peer, sizeof connection->peer, NULL, 0, NI_NUMERICHOST) != 0)
        strcpy(connection->peer, "?");
}

static int httpd(int fd)
{
    int yes = 1, r;
    struct connection *connection = malloc(sizeof *connection);
    if (!connection)
        return -ENOMEM;
    connection->fd = fd;
    connection->begin = connection->end = 0;
    connection->date_of = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (verbose)
        name_peer(connection);
    r = talk(connection);
    free(connection);
    return r;
}

static const char help[] = "Usage: httpd [OPTION]... [DIR]\n"
                           "Serves the files below DIR (default: the current directory) by HTTP.\n\n" SERVER_HELP
                           "  --idle SECONDS    wait so long for a connection's next request; default: 60\n"
                           "  --header SECONDS  wait so long for the rest of a request; default: 10\n"
                           "  --send SECONDS    wait so long for a client to take 256 KiB; default: 60\n"
                           "  --verbose         print a line for each request\n";

int main(int argc, char **argv)
{
    const struct setting settings[] = {
        SERVER_SETTINGS,
        {.name = "idle", .number = &idle_seconds, .least = 1, .most = 1000000},
        {.name = "header", .number = &header_seconds, .least = 1, .most = 1000000},
        {.name = "send", .number = &send_seconds, .least = 1, .most = 1000000},
        {.name = "verbose", .flag = &verbose},
    };
    int operands = take_options(argc, argv, settings, sizeof settings / sizeof *settings, help, 0, 1);
    const char *dir = argv[operands] ? argv[operands] : ".";
    root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        complain("cannot serve '%s': %s", dir, strerror(errno));
        return FAILED;
    }
    int fd = open_beneath(".", 0);
    if (fd < 0) {
        complain("cannot serve '%s': %s%s", dir, strerror(-fd), fd == -ENOSYS ? "; it takes openat2(2), Linux 5.6" : "");
        return FAILED;
    }
    close(fd);
    http_parser_set_max_header_size(HEADERS_MAX);
    int status = serve(httpd, 3);
    close(root);
    return status;
}
