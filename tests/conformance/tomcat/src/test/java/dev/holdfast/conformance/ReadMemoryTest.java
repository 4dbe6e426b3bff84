package dev.holdfast.conformance;

/** Sessions are read from the memory of their Tomcat, which is told of changes elsewhere. */
class ReadMemoryTest extends Sessions {
    ReadMemoryTest() {
        super("MEMORY");
    }
}
