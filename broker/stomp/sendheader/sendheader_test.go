package sendheader

import "testing"

// TestOf: names mean what they say, however they are spelled by ActiveMQ, Artemis and JMS, and nothing else.
func TestOf(t *testing.T) {
	for name, want := range map[string]ID{
		"destination": Destination, "message-id": Drop, "JMSXUserID": Drop, "x-ttl": TTL, "expiration": Expiration,
		"JMSXGroupID": Group, "message_group": Group, "JMSPriority": JMSPriority, "": User, "Destination": User, "colour": User,
	} {
		if got := Of([]byte(name)); got != want {
			t.Errorf("%q is %d, want %d", name, got, want)
		}
	}
	for id := range JMSType + 1 {
		if std := id.Standard(); std.Standard() != std || (id < JMSPriority) != (std == id) {
			t.Errorf("%d stands for %d", id, std)
		}
	}
	for value, want := range map[string]bool{"NON_PERSISTENT": true, "non_persistent": true, "1": true, "2": false, "PERSISTENT": false, "": false} {
		if got := NonPersistent([]byte(value)); got != want {
			t.Errorf("JMSDeliveryMode %q: %v", value, got)
		}
	}
}
