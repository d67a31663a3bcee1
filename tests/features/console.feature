Feature: The console
  The person on duty signs in with a key, finds an order, sees why it waits, and does what is to be done.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens
    And the person on duty has signed in

  Rule: An order is found, and its page says why it waits

    Scenario: Nobody has asked for its payment
      When the person on duty searches for her orders
      Then her order is found
      And its page says: nobody has asked for its payment

    Scenario: The card was declined
      Given cards are being declined
      And she has paid
      When the person on duty searches for her orders
      Then her order is found
      And its page says: the payment provider declined its payment

  Rule: An outage of the payment provider is seen, and nobody has to do anything about it

    Scenario: The payment provider answers again after a while
      Given she has asked to pay, and the payment provider does not answer
      Then the person on duty sees at once that the payment provider has not answered
      And its page says: the payment provider has not answered since
      When the payment provider answers again
      Then her order is paid
      And the person on duty sees nothing of that any more

  Rule: What is done there stands in the audit under the key of whoever did it

    Scenario: An order is cancelled
      When the person on duty cancels her order on its page
      Then her order is cancelled
      And the audit says that the person on duty did it

    Scenario: Many orders are cancelled
      When the person on duty searches for her orders, and cancels them, since the price was wrong
      Then 1 of them is done
      And her order is cancelled
      And the audit says that the person on duty did it

    Scenario: The order has changed since it was looked at
      Given the person on duty has looked at her order
      And she has paid
      When the person on duty cancels her order as it was shown
      Then her order is paid

  Rule: Whoever has signed out is out, and so is a copy of the session

    Scenario: Somebody has copied the session before
      Given somebody has copied the session
      When the person on duty signs out
      Then the copied session lets nobody in

    Scenario: A wrong key
      When somebody tries to sign in with a key that was made up
      Then there is no session
