package ha

import "sync"

// mailbox hands things to one goroutine, in order and without making the giver wait.
// What bounds it is what its givers may have under way.
type mailbox[T any] struct {
	wake chan struct{} // capacity 1: there is something

	mu    sync.Mutex // guards items
	items []T
}

func newMailbox[T any]() *mailbox[T] { return &mailbox[T]{wake: make(chan struct{}, 1)} }

func (m *mailbox[T]) put(x T) {
	m.mu.Lock()
	m.items = append(m.items, x)
	m.mu.Unlock()
	signal(m.wake)
}

// take returns what is there, to be given back as the next take's buffer.
func (m *mailbox[T]) take(buf []T) []T {
	clear(buf)
	m.mu.Lock()
	defer m.mu.Unlock()
	items := m.items
	m.items = buf[:0]
	return items
}

// signal wakes the one goroutine that waits on c, now or when it next looks.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
