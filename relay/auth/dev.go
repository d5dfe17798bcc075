package auth

// DevSecret is the published HS256 secret of development mode. A relay that accepts it listens on
// loopback only.
const DevSecret = "weir-development-secret-not-for-production"
