package qupath.lib.io

/** Of a PathObject. */
class Item {
    String name
    Object kind
    boolean locked

    Object getPathClass() { return kind }
    void setPathClass(Object to) { kind = to }
}
