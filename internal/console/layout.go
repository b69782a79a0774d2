package console

import ()

// shell is what every page has around it.
type shell struct {
	Title   string   // never anything of a request's content
	Visitor *visitor // nil for somebody who is not logged in
	Here    string   // path of the page in the navigation
	Live    bool     // the page follows changes
}
