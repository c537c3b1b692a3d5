package httpboot

import (
	"errors"
	"io"
	"net/http"
)

// recorder counts what goes through a ResponseWriter. It hands ReadFrom on:
// without it the kernel could not send files by itself (sendfile), which halves
// the throughput and doubles the work.
type recorder struct {
	http.ResponseWriter
	conn   *gathered // nil where a header leaves by itself
	status int
	bytes  int64
	wrote  bool
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	r.note(status)
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.note(http.StatusOK)
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom with what is below, which is io.Copy's way
// to sendfile.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	r.note(http.StatusOK)
	r.hold()
	n, err := io.Copy(r.ResponseWriter, src)
	r.bytes += n
	if r.conn != nil {
		err = errors.Join(err, r.conn.release())
	}
	return n, err
}

// hold has the header leave with the content that follows. Without a length net/http would
// make chunks of both.
func (r *recorder) hold() {
	if f, ok := r.ResponseWriter.(http.Flusher); ok && r.conn != nil && r.Header().Get("Content-Length") != "" {
		r.conn.hold()
		f.Flush()
	}
}

func (r *recorder) note(status int) {
	if !r.wrote {
		r.status, r.wrote = status, true
	}
}
