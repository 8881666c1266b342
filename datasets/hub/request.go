package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// retryable is an error that may pass.
type retryable struct {
	err   error
	after time.Duration // the server's wish; 0 = none
}

func (r *retryable) Error() string { return r.err.Error() }
func (r *retryable) Unwrap() error { return r.err }

func again(err error) error { return &retryable{err: err} }

// longest waits between two tries.
const (
	maxBackoff    = 30 * time.Second
	maxRetryAfter = 5 * time.Minute
)

// retry repeats try while its error may pass, with waits of 1, 2, 4, ... seconds or as long as the server asks.
func (c *Client) retry(ctx context.Context, try func() error) error {
	for attempt := 1; ; attempt++ {
		err := try()
		var r *retryable
		if err == nil || !errors.As(err, &r) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if attempt >= c.cfg.Attempts {
			return fmt.Errorf("given up after %d tries: %w", attempt, err)
		}
		wait := min(time.Second<<(attempt-1), maxBackoff)
		if r.after > 0 {
			if r.after > maxRetryAfter {
				return fmt.Errorf("the hub asks to wait %v: %w", r.after, err)
			}
			wait = r.after
		}
		if err := c.cfg.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// maxRedirects bounds a chain of redirects.
const maxRedirects = 10

// fetch sends a request and follows redirects. The token goes to the endpoint's host only. Redirects to another host are
// followed when away is set; else the redirecting answer itself is returned, which carries what the hub says of a file.
// The answer's body ends with an error when no byte comes for the client's timeout. cancel frees the request; it is to
// be called once the body is done with.
func (c *Client) fetch(ctx context.Context, method, address string, header http.Header, away bool) (resp *http.Response, cancel func(), err error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	for range maxRedirects {
		reqCtx, stop := context.WithCancelCause(ctx)
		done := func() { stop(nil) }
		req, err := http.NewRequestWithContext(reqCtx, method, u.String(), nil)
		if err != nil {
			done()
			return nil, nil, err
		}
		for k, v := range header {
			req.Header[k] = v
		}
		req.Header.Set("User-Agent", "pema")
		req.Header.Set("Accept-Encoding", "identity")
		if c.cfg.Token != "" && sameHost(u, c.host) {
			req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
		}
		watch := newWatchdog(c.cfg.Timeout, func() { stop(errStall) })
		resp, err := c.http.Do(req)
		if err != nil {
			watch.stop()
			done()
			if cause := context.Cause(reqCtx); errors.Is(cause, errStall) {
				err = errStall
			}
			return nil, nil, again(fmt.Errorf("%s %s: %w", method, u.Redacted(), err))
		}
		resp.Body = &watchedBody{body: resp.Body, watch: watch, ctx: reqCtx}
		next := redirect(resp)
		if next == "" {
			return resp, done, nil
		}
		to, err := u.Parse(next)
		if err != nil || (to.Scheme != "https" && to.Scheme != "http") || (u.Scheme == "https" && to.Scheme == "http") {
			resp.Body.Close()
			done()
			return nil, nil, fmt.Errorf("%s redirects to %.200q, which is not followed", u.Redacted(), next)
		}
		if !away && !sameHost(to, c.host) {
			return resp, done, nil
		}
		resp.Body.Close()
		done()
		u = to
	}
	return nil, nil, fmt.Errorf("%s: more than %d redirects", address, maxRedirects)
}

func redirect(resp *http.Response) string {
	switch resp.StatusCode {
	case 301, 302, 303, 307, 308:
		return resp.Header.Get("Location")
	}
	return ""
}

func sameHost(a, b *url.URL) bool { return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host) }

var errStall = errors.New("no data for too long")

// watchdog calls bite when it was not fed for a while.
type watchdog struct {
	mu      sync.Mutex
	timer   *time.Timer
	patient time.Duration
}

func newWatchdog(patient time.Duration, bite func()) *watchdog {
	return &watchdog{timer: time.AfterFunc(patient, bite), patient: patient}
}

func (w *watchdog) feed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer.Stop() {
		w.timer.Reset(w.patient)
	}
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
}

type watchedBody struct {
	body  io.ReadCloser
	watch *watchdog
	ctx   context.Context
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.watch.feed()
	n, err := b.body.Read(p)
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), errStall) {
		err = errStall
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.watch.stop()
	return b.body.Close()
}

// statusError turns a status that is no success into an error.
func statusError(resp *http.Response) error {
	code := resp.StatusCode
	if code < 300 {
		return nil
	}
	said := resp.Header.Get("X-Error-Message")
	if said == "" {
		said = http.StatusText(code)
	}
	err := fmt.Errorf("the hub answers %d %.200s", code, said)
	switch {
	case code == 404 && resp.Header.Get("X-Error-Code") == "EntryNotFound":
		return fmt.Errorf("%w: no such file in the repository: %w", err, ErrNotFound)
	case code == 404:
		return fmt.Errorf("%w: %w", err, ErrNotFound)
	case code == 401 || code == 403:
		return fmt.Errorf("%w: %w; the repository may be private, gated or misspelled: accept its terms on the hub and set HF_TOKEN", err, ErrDenied)
	case code == 408 || code == 429 || code >= 500:
		return &retryable{err: err, after: retryAfter(resp)}
	}
	return err
}

// retryAfter reads the server's wish in seconds or as a date (relative to the server's own clock).
func retryAfter(resp *http.Response) time.Duration {
	s := resp.Header.Get("Retry-After")
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return time.Duration(min(n, 1<<20)) * time.Second
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}
