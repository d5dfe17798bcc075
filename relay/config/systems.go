package config

// The names of the systems.
const (
	SystemChat      = "chat"
	SystemPresence  = "presence"
	SystemFeed      = "feed"
	SystemNotify    = "notify"
	SystemAnalytics = "analytics"
	SystemDocuments = "documents"
	SystemWebhook   = "webhook"
)

// SystemNames are the systems that a configuration may list. They start in this order, which is also the order
// in which they hear of events: those that may refuse one come before those that tell others of it.
func SystemNames() []string {
	return []string{SystemChat, SystemPresence, SystemFeed, SystemNotify, SystemDocuments, SystemAnalytics, SystemWebhook}
}
